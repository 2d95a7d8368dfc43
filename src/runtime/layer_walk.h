// Calibration sequences on their way through the layers, matrix by matrix: side by side the inputs
// that the unquantized model gives and those of the model with the matrices settled so far.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/threads.h"
#include "quantlane/result.h"
#include "runtime/layer.h"
#include "runtime/runtime.h"

namespace quantlane {

// The four inputs of a layer: of query, key and value; of the output matrix; of gate and up (of
// experts: as if every token reached every expert); of down (of experts: expert_inputs()).
enum class LayerStage : std::uint8_t { kHeads, kOutput, kGates, kDown };
LayerStage stage_of(Role role);
// Columns of the inputs.
std::int64_t stage_width(const ModelConfig& config, LayerStage stage);

// Memory: the residual streams and the attention outputs of all sequences (twice once a matrix is
// settled), the buffers of two batches, and up to 512 MiB of inputs of down, which save computing
// them once more.
class LayerWalk {
 public:
  // What inputs() shows beside those of the settled model.
  enum class Beside : std::uint8_t { kExact, kNothing };
  // Sequences of `chunk` tokens each (tokens.size() is a multiple). `runtime` and `pool` must
  // outlive the walk. kNothing: `exact` is always `settled`, for half of the work.
  LayerWalk(const Runtime& runtime, std::span<const std::int32_t> tokens, std::int64_t chunk,
            ThreadPool& pool, Beside beside = Beside::kExact);

  [[nodiscard]] std::int64_t layer() const { return layer_; }
  [[nodiscard]] LayerStage stage() const { return stage_; }
  // Rows [tokens, stage_width] of one batch after another, in order. `exact` is `settled` until the
  // first settle().
  using See = std::function<void(const float* settled, const float* exact, std::int64_t tokens)>;
  Result<void> inputs(const See& see);
  // At kDown of a layer of experts: the inputs of down of one of them, for the tokens that the
  // router of the settled model gives it and, where these are fewer than `least`, up to that number
  // for others, evenly spread. How many tokens were its own.
  Result<std::int64_t> expert_inputs(std::int64_t expert, std::int64_t least, const See& see);
  // The matrix of this layer has become `weight`; it is read when its stage is left.
  void settle(const Parameter& parameter, Weight weight);
  // To the next stage, or the first one of the next layer.
  Result<void> advance();

 private:
  struct Batch {
    std::vector<float> rows;      // [T, D]
    std::vector<float> attended;  // [T, q_size], at kOutput
    std::vector<float> gated;     // [T, intermediate], at kDown where has_gated
    bool has_gated = false;
  };
  struct Stream {
    std::vector<Batch> batches;
    Pass pass;  // what it holds between the batches is of no account
  };
  [[nodiscard]] std::int64_t batch_count() const;
  // Makes `stream.pass` that of a batch, with its residual stream.
  void enter(Stream& stream, std::int64_t batch);
  // Gives the residual stream back.
  static void leave(Stream& stream, std::int64_t batch);
  // The inputs of the present stage for the batch that has been entered, valid until something is
  // done with `stream`.
  const std::vector<float>& stage_inputs(const BoundLayer& layer, Stream& stream,
                                         std::int64_t batch);
  void leave_stage(const BoundLayer& layer, Stream& stream, std::int64_t batch);
  Result<void> route_tokens();
  void part_ways();

  const Runtime& runtime_;
  Beside beside_;
  std::int64_t chunk_;
  std::int64_t tokens_;
  std::int64_t batch_tokens_;  // of all batches but the last
  std::int64_t kept_;          // batches whose inputs of down are kept
  std::int64_t layer_ = 0;
  LayerStage stage_ = LayerStage::kHeads;
  bool parted_ = false;
  Stream settled_;
  Stream exact_;  // without batches until they part
  BoundLayer own_;
  RopeTable rope_full_;
  RopeTable rope_windowed_;
  std::vector<KvCache> caches_;
  std::vector<std::vector<std::int64_t>> routed_;  // tokens of each expert, once asked for
};

}  // namespace quantlane
