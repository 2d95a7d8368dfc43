#include "formats/q4_1.h"

#include <cstring>

#include "core/half.h"
#include "formats/affine_search.h"

namespace quantlane {
namespace {

constexpr int kValues = 32;
constexpr float kHighCode = 15;

void decode(const std::byte* blocks, std::int64_t block_count, float* values) {
  for (std::int64_t b = 0; b < block_count; ++b) {
    BlockQ4_1 block;
    std::memcpy(&block, blocks + b * std::int64_t{sizeof block}, sizeof block);
    const float d = f16_to_f32(block.d);
    const float m = f16_to_f32(block.m);
    float* target = values + b * kValues;
    for (int j = 0; j < 16; ++j) {
      target[j] = static_cast<float>(block.qs[j] & 15) * d + m;
      target[j + 16] = static_cast<float>(block.qs[j] >> 4) * d + m;
    }
  }
}

void encode(std::span<const float> values, std::span<const float> importance, std::byte* blocks) {
  for (std::size_t b = 0; b * kValues < values.size(); ++b) {
    const float* source = values.data() + b * kValues;
    const float* weight = importance.empty() ? nullptr : importance.data() + b * kValues;
    const StoredAffine stored = encode_affine_block(source, weight, kValues, kHighCode);
    BlockQ4_1 block{.d = stored.d, .m = stored.m, .qs = {}};
    for (int j = 0; j < 16; ++j) {
      block.qs[j] = static_cast<std::uint8_t>(stored.codes[j] | stored.codes[j + 16] << 4);
    }
    std::memcpy(blocks + b * sizeof block, &block, sizeof block);
  }
}

}  // namespace

const BlockFormat kQ4_1{.name = "q4_1",
                        .ggml_id = 3,
                        .block_values = kValues,
                        .block_bytes = sizeof(BlockQ4_1),
                        .decode = decode,
                        .encode = encode,
                        .error_bound = 0.074,
                        .fallback = ""};

}  // namespace quantlane
