#include "calibrate/kv_ranges.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/cancel.h"
#include "core/check.h"

namespace quantlane {
namespace {

// Raises largest[heads] to the magnitudes in rows [tokens, heads, head_dim].
void add_largest(const float* rows, std::int64_t tokens, std::int64_t heads, std::int64_t head_dim,
                 float* largest) {
  for (std::int64_t i = 0; i < tokens * heads * head_dim; ++i) {
    float& most = largest[i / head_dim % heads];
    most = std::max(most, std::abs(rows[i]));
  }
}

// [layers, heads] to scales, of each head or of the largest head of a layer.
std::vector<float> scales_of(const std::vector<float>& largest, std::int64_t heads, bool per_head) {
  std::vector<float> scales;
  for (std::size_t i = 0; i < largest.size(); i += static_cast<std::size_t>(heads)) {
    const auto first = largest.begin() + static_cast<std::ptrdiff_t>(i);
    if (!per_head) {
      scales.push_back(kv_scale_for(*std::max_element(first, first + heads)));
      continue;
    }
    std::transform(first, first + heads, std::back_inserter(scales), kv_scale_for);
  }
  return scales;
}

}  // namespace

Result<KvRounding> calibrate_kv(Runtime& runtime, const TokenChunks& chunks, const KvScheme& scheme,
                                ThreadPool& pool, Progress& progress) {
  const ModelConfig& config = runtime.config();
  KvRounding rounding{.scheme = &scheme, .heads = config.kv_head_count};
  if (!scheme.calibrated) return rounding;
  const KvRounding before = std::exchange(runtime.kv(), KvRounding{});
  const auto size = static_cast<std::size_t>(config.layer_count * config.kv_head_count);
  std::vector<float> keys(size);
  std::vector<float> values(size);
  std::vector<float> logits;
  progress.begin("calibrate the key-value cache", chunks.tokens.size(), "tok");
  for (std::int64_t c = 0; c < chunks.count(); ++c) {
    KvCache cache(config, chunks.chunk);
    const Segment segment{.tokens = chunks[c], .cache = &cache, .logits_from = chunks.chunk};
    const auto ran = runtime.forward(std::span(&segment, 1), pool, logits);
    if (!ran) {
      runtime.kv() = before;
      return std::unexpected(ran.error());
    }
    for (std::int64_t layer = 0; layer < config.layer_count; ++layer) {
      const std::int64_t at = layer * config.kv_head_count;
      add_largest(cache.keys(layer), chunks.chunk, config.kv_head_count, config.head_dim,
                  keys.data() + at);
      add_largest(cache.values(layer), chunks.chunk, config.kv_head_count, config.head_dim,
                  values.data() + at);
    }
    progress.update(static_cast<std::uint64_t>((c + 1) * chunks.chunk));
  }
  progress.end();
  runtime.kv() = before;
  rounding.key_scales = scales_of(keys, config.kv_head_count, scheme.per_head);
  rounding.value_scales = scales_of(values, config.kv_head_count, scheme.per_head);
  return rounding;
}

}  // namespace quantlane
