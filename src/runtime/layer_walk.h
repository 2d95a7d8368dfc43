// Calibration sequences on their way through the layers, matrix by matrix: side by side the inputs
// that the unquantized model gives and those of the model with the matrices settled so far.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/float_store.h"
#include "core/threads.h"
#include "quantlane/result.h"
#include "runtime/layer.h"
#include "runtime/runtime.h"
#include "runtime/walk_memory.h"

namespace quantlane {

// The four inputs of a layer: of query, key and value; of the output matrix; of gate and up (of
// experts: as if every token reached every expert); of down (of experts: expert_inputs()).
enum class LayerStage : std::uint8_t { kHeads, kOutput, kGates, kDown };
LayerStage stage_of(Role role);
// Columns of the inputs.
std::int64_t stage_width(const ModelConfig& config, LayerStage stage);

// Memory: walk_bytes(), of which hidden states may lie on disk; of the model one layer at a time,
// whose pages are given back when it is left. Results do not depend on WalkMemory.
class LayerWalk {
 public:
  // What inputs() shows beside those of the settled model.
  enum class Beside : std::uint8_t { kExact, kNothing };
  // Sequences of `chunk` tokens each (tokens.size() is a multiple). `runtime` and `pool` must
  // outlive the walk. kNothing: `exact` is always `settled`, for half of the work. kIo from here on
  // where hidden states go to a disk that cannot hold them.
  static Result<std::unique_ptr<LayerWalk>> start(const Runtime& runtime,
                                                  std::span<const std::int32_t> tokens,
                                                  std::int64_t chunk, ThreadPool& pool,
                                                  Beside beside = Beside::kExact,
                                                  const WalkMemory& memory = {});

  [[nodiscard]] std::int64_t layer() const { return layer_; }
  [[nodiscard]] LayerStage stage() const { return stage_; }
  // Rows [tokens, stage_width] of one batch after another, in order. `exact` is `settled` until the
  // stage of the first settle() is left; from then on, where shows_outputs(), it has what the
  // unquantized down gives, without its bias [tokens, hidden_size].
  using See = std::function<void(const float* settled, const float* exact, std::int64_t tokens)>;
  Result<void> inputs(const See& see);
  [[nodiscard]] bool shows_outputs() const;
  // At kDown of a layer of experts: the inputs of down of one of them, for the tokens that the
  // router of the settled model gives it and, where these are fewer than `least`, up to that number
  // for others, evenly spread. How many tokens were its own.
  Result<std::int64_t> expert_inputs(std::int64_t expert, std::int64_t least, const See& see);
  // At kDown of a layer of experts: how many tokens the router of the settled model gives each.
  Result<std::vector<std::int64_t>> expert_tokens();
  // The matrix of this layer has become `weight`; it is read when its stage is left.
  void settle(const Parameter& parameter, Weight weight);
  // To the next stage, or the first one of the next layer.
  Result<void> advance();

 private:
  // What waits in the store for each batch of a stream: rows [T, D]; [T, q_size], at kOutput; of
  // the exact stream what down gives, [T, D], at kDown.
  enum class Hidden : std::uint8_t { kRows, kAttended, kDowned };
  static constexpr std::int64_t kHiddenKinds = 3;
  struct Gated {
    std::vector<float> values;  // [T, intermediate], inputs of down
    bool kept = false;
  };
  struct Stream {
    std::int64_t index;  // 0: settled, 1: exact
    Pass pass = {};      // what it holds between the batches is of no account
  };
  LayerWalk(const Runtime& runtime, std::int64_t tokens, std::int64_t chunk, ThreadPool& pool,
            Beside beside, std::uint64_t kept_bytes);
  Result<void> embed(std::span<const std::int32_t> tokens, const WalkMemory& memory);
  [[nodiscard]] std::int64_t batch_count() const;
  [[nodiscard]] std::int64_t tokens_of(std::int64_t batch) const;
  [[nodiscard]] std::size_t place(Hidden kind, const Stream& stream, std::int64_t batch) const;
  // The inputs of the present stage for a batch, valid until something is done with `stream`.
  Result<const float*> stage_inputs(const BoundLayer& layer, Stream& stream, std::int64_t batch);
  // What the unquantized down gives, into down_; and that from the store, likewise.
  Result<void> run_exact_down(std::int64_t batch);
  Result<const float*> exact_outputs(std::int64_t batch);
  Result<void> leave_stage(const BoundLayer& layer, Stream& stream, std::int64_t batch);
  Result<void> route_tokens();
  Result<void> part_ways();

  const Runtime& runtime_;
  Beside beside_;
  std::int64_t chunk_;
  std::int64_t tokens_;
  std::int64_t batch_tokens_;  // of all batches but the last
  std::int64_t kept_;          // batches whose inputs of down are kept
  FloatStore hidden_;
  std::int64_t layer_ = 0;
  LayerStage stage_ = LayerStage::kHeads;
  bool settling_ = false;  // the first matrix has changed: streams part when its stage is left
  bool parted_ = false;
  Stream settled_ = {.index = 0};
  Stream exact_ = {.index = 1};  // of no account until they part
  std::vector<Gated> gated_;     // of each batch of settled_
  std::vector<bool> downed_;     // the batches whose kDowned are in the store
  std::vector<float> down_;      // those of one batch
  BoundLayer own_;
  RopeTable rope_full_;
  RopeTable rope_windowed_;
  std::vector<KvCache> caches_;
  std::vector<std::vector<std::int64_t>> routed_;  // tokens of each expert, once asked for
};

}  // namespace quantlane
