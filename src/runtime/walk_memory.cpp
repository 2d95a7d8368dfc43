#include "runtime/walk_memory.h"

#include <algorithm>

namespace quantlane {
namespace {

// Enough rows to keep the products efficient. Sums over tokens are made batch by batch: another
// number would change the bytes of artefacts.
constexpr std::int64_t kBatchTokens = 2048;

std::uint64_t floats(std::int64_t count) {
  return static_cast<std::uint64_t>(count) * sizeof(float);
}

}  // namespace

std::int64_t walk_batch_tokens(std::int64_t tokens, std::int64_t chunk) {
  const std::int64_t sequences = std::max<std::int64_t>(1, kBatchTokens / chunk);
  return std::min(sequences, tokens / chunk) * chunk;
}

std::int64_t walk_down_width(const ModelConfig& config) {
  const bool dense = config.experts.count == 0 || !config.experts.dense_layers.empty();
  return dense ? config.hidden_size : 0;
}

WalkBytes walk_bytes(const ModelConfig& config, std::int64_t tokens, std::int64_t chunk,
                     std::int64_t streams) {
  const std::int64_t batch = walk_batch_tokens(tokens, chunk);
  // Pass::reserve(): stream, normed; q, attended; k, v; gate, up; with experts scores, gathered,
  // mixed. Products round their inputs into one more.
  const std::int64_t inner = std::max(config.intermediate_size, config.experts.intermediate_size);
  std::int64_t width = 2 * config.hidden_size + 2 * config.q_size() + 2 * config.kv_size() +
                       2 * inner + std::max(inner, config.q_size());
  if (config.experts.count > 0) width += config.experts.count + 2 * config.hidden_size;
  WalkBytes bytes;
  // Beside the unquantized model: what its down gives.
  const std::int64_t down = streams > 1 ? walk_down_width(config) : 0;
  bytes.hidden = floats(tokens * (streams * (config.hidden_size + config.q_size()) + down));
  bytes.kept = floats(tokens * config.intermediate_size);
  bytes.buffers = floats(batch * (streams * width + down)) + floats(2 * batch * config.kv_size());
  return bytes;
}

}  // namespace quantlane
