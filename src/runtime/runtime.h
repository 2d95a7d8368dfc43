// Runs a checkpoint: bound weights, key-value caches, one forward pass over any mix of sequences.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/threads.h"
#include "model/checkpoint.h"
#include "quantlane/result.h"

namespace quantlane {

// Keys and values of one sequence, all layers, float32.
class KvCache {
 public:
  KvCache(const ModelConfig& config, std::int64_t capacity);
  [[nodiscard]] std::int64_t length() const { return length_; }
  [[nodiscard]] std::int64_t capacity() const { return capacity_; }
  // Forgets positions from `length` on.
  void truncate(std::int64_t length) { length_ = length < length_ ? length : length_; }

 private:
  friend class Runtime;
  std::int64_t capacity_ = 0;
  std::int64_t length_ = 0;
  std::int64_t kv_size_ = 0;
  std::vector<std::vector<float>> keys_;    // per layer [capacity, kv_size]
  std::vector<std::vector<float>> values_;  // per layer [capacity, kv_size]
};

// One sequence in a pass: tokens appended after cache.length().
struct Segment {
  std::span<const std::int32_t> tokens;
  KvCache* cache;             // not null; room for the tokens
  std::int64_t logits_from;   // logits wanted for token indices [logits_from, tokens.size())
};

// Sees the input of every Linear: x [tokens, cols] of the pass. Called from one thread.
class LinearObserver {
 public:
  virtual ~LinearObserver() = default;
  virtual void observe(const Parameter& linear, const float* x, std::int64_t tokens) = 0;
};

// Immutable after load; forward() may be called from one thread at a time per Runtime.
class Runtime {
 public:
  // Binds all parameters. kResourceLimit when the model cannot fit the memory.
  static Result<std::unique_ptr<Runtime>> load(std::shared_ptr<const Checkpoint> checkpoint);
  ~Runtime();
  [[nodiscard]] const Checkpoint& checkpoint() const;
  [[nodiscard]] const ModelConfig& config() const;
  // One pass. logits: the wanted rows of all segments in order, [rows, vocab]; sized by the callee.
  // Token ids outside the vocabulary: kInvalidArgument. Advances the caches.
  Result<void> forward(std::span<const Segment> segments, ThreadPool& pool,
                       std::vector<float>& logits, LinearObserver* observer = nullptr);

 private:
  Runtime();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace quantlane
