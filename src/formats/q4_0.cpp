#include "formats/q4_0.h"

#include <cstring>

#include "core/half.h"
#include "formats/symmetric_search.h"

namespace quantlane {
namespace {

constexpr int kValues = 32;
constexpr CodeRange kCodes{.low = -8, .high = 7};

void decode(const std::byte* blocks, std::int64_t block_count, float* values) {
  for (std::int64_t b = 0; b < block_count; ++b) {
    BlockQ4_0 block;
    std::memcpy(&block, blocks + b * std::int64_t{sizeof block}, sizeof block);
    const float d = f16_to_f32(block.d);
    float* target = values + b * kValues;
    for (int j = 0; j < 16; ++j) {
      target[j] = static_cast<float>((block.qs[j] & 15) - 8) * d;
      target[j + 16] = static_cast<float>((block.qs[j] >> 4) - 8) * d;
    }
  }
}

void encode(std::span<const float> values, std::span<const float> importance, std::byte* blocks) {
  for (std::size_t b = 0; b * kValues < values.size(); ++b) {
    const float* source = values.data() + b * kValues;
    const float* weight = importance.empty() ? nullptr : importance.data() + b * kValues;
    const StoredSymmetric stored = encode_symmetric_block(source, weight, kValues, kCodes);
    BlockQ4_0 block{.d = stored.d, .qs = {}};
    for (int j = 0; j < 16; ++j) {
      block.qs[j] = static_cast<std::uint8_t>(stored.codes[j] | stored.codes[j + 16] << 4);
    }
    std::memcpy(blocks + b * sizeof block, &block, sizeof block);
  }
}

}  // namespace

const BlockFormat kQ4_0{.name = "q4_0",
                        .ggml_id = 2,
                        .block_values = kValues,
                        .block_bytes = sizeof(BlockQ4_0),
                        .decode = decode,
                        .encode = encode,
                        .error_bound = 0.09,
                        .fallback = ""};

}  // namespace quantlane
