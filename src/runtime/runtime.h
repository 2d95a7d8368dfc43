// Runs a checkpoint: bound weights, key-value caches, one forward pass over any mix of sequences.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/threads.h"
#include "model/checkpoint.h"
#include "quantlane/evaluate.h"
#include "quantlane/result.h"

namespace quantlane {

// Keys and values of one sequence, all layers, float32.
class KvCache {
 public:
  KvCache(const ModelConfig& config, std::int64_t capacity);
  [[nodiscard]] std::int64_t length() const { return length_; }
  [[nodiscard]] std::int64_t capacity() const { return capacity_; }
  // Bytes that a cache of `capacity` positions takes.
  [[nodiscard]] static std::uint64_t bytes(const ModelConfig& config, std::int64_t capacity);

  // Rows of one layer [capacity, kv_size], for the passes of the runtime.
  [[nodiscard]] float* keys(std::int64_t layer) { return keys_[index(layer)].data(); }
  [[nodiscard]] float* values(std::int64_t layer) { return values_[index(layer)].data(); }
  [[nodiscard]] std::int64_t kv_size() const { return kv_size_; }
  [[nodiscard]] std::int64_t layer_count() const { return static_cast<std::int64_t>(keys_.size()); }

 private:
  friend class Runtime;
  static std::size_t index(std::int64_t layer) { return static_cast<std::size_t>(layer); }
  std::int64_t capacity_ = 0;
  std::int64_t length_ = 0;
  std::int64_t kv_size_ = 0;
  std::vector<std::vector<float>> keys_;    // per layer [capacity, kv_size]
  std::vector<std::vector<float>> values_;  // per layer [capacity, kv_size]
};

// One sequence in a pass: tokens appended after cache.length().
struct Segment {
  std::span<const std::int32_t> tokens;
  KvCache* cache;            // not null, of one segment only; room for the tokens
  std::int64_t logits_from;  // logits wanted for token indices [logits_from, tokens.size())
};

// Sees the input of every product with a matrix: x [tokens, cols] of the pass, before any rounding
// that the matrix's format asks for. Called from one thread. The input of a tied head comes with
// the embedding's parameter; heads see only the rows whose logits are wanted.
class LinearObserver {
 public:
  virtual ~LinearObserver() = default;
  virtual void observe(const Parameter& linear, const float* x, std::int64_t tokens) = 0;
};

struct BoundLayer;
struct BoundLinear;
struct Pass;

// kLayers: passes give the mapped pages of a layer back when they leave it, so that a model larger
// than the memory runs, read from disk once in each pass.
enum class Residency : std::uint8_t { kWhole, kLayers };

// Immutable after load; forward() may be called from one thread at a time per Runtime.
class Runtime {
 public:
  // Binds all parameters. kResourceLimit when the weights (kLayers: those in use at one time) and
  // the buffers of a short pass exceed `memory_bytes` (0 = what the machine has available), found
  // before anything is allocated.
  static Result<std::unique_ptr<Runtime>> load(std::shared_ptr<const Checkpoint> checkpoint,
                                               Arithmetic arithmetic = Arithmetic::kFloat,
                                               std::uint64_t memory_bytes = 0,
                                               Residency residency = Residency::kWhole);
  // For passes over text that need one layer at a time: float products, Residency::kLayers.
  static Result<std::unique_ptr<Runtime>> load_by_layers(
      std::shared_ptr<const Checkpoint> checkpoint);
  ~Runtime();
  [[nodiscard]] const Checkpoint& checkpoint() const;
  [[nodiscard]] const ModelConfig& config() const;
  // The bound matrices of one layer, and the rows [tokens, D] with which sequences enter the first.
  [[nodiscard]] const BoundLayer& layer(std::int64_t index) const;
  void embed(std::span<const std::int32_t> tokens, float* rows) const;
  // The same with other embeddings [V, D] in the place of the model's own.
  void embed(std::span<const std::int32_t> tokens, const BoundLinear& embedding, float* rows) const;
  // The matrix that gives logits; of a tied model the embedding.
  [[nodiscard]] const BoundLinear& head() const;
  // Logits [count, vocab] of rows [count, D] that leave the last layer; the rows are normed in
  // place. `head`: another matrix in the place of the model's own.
  void logits_of(float* rows, std::int64_t count, const BoundLinear& head, ThreadPool& pool,
                 std::vector<float>& logits) const;
  // How keys and values are rounded on their way into caches: at first as the checkpoint says.
  [[nodiscard]] KvRounding& kv();
  // One pass. logits: the wanted rows of all segments in order, [rows, vocab]; sized by the callee.
  // Token ids outside the vocabulary, full or foreign caches: kInvalidArgument; kCancelled between
  // layers. Advances the caches; after an error they are as before.
  Result<void> forward(std::span<const Segment> segments, ThreadPool& pool,
                       std::vector<float>& logits, LinearObserver* observer = nullptr);

 private:
  Runtime();
  // Of one layer; -1: embedding, head and final norm.
  void drop_pages(std::int64_t layer) const;
  void finish(float* rows, std::int64_t count, const BoundLinear& head, Pass& pass,
              std::vector<float>& logits) const;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace quantlane
