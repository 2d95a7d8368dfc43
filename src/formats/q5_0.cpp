#include "formats/q5_0.h"

#include <cstring>

#include "core/half.h"
#include "formats/symmetric_search.h"

namespace quantlane {
namespace {

constexpr int kValues = 32;
constexpr CodeRange kCodes{.low = -16, .high = 15};

void decode(const std::byte* blocks, std::int64_t block_count, float* values) {
  for (std::int64_t b = 0; b < block_count; ++b) {
    BlockQ5_0 block;
    std::memcpy(&block, blocks + b * std::int64_t{sizeof block}, sizeof block);
    const float d = f16_to_f32(block.d);
    std::uint32_t high_bits;
    std::memcpy(&high_bits, block.qh, sizeof high_bits);
    float* target = values + b * kValues;
    for (int j = 0; j < 16; ++j) {
      const int low = (block.qs[j] & 15) | static_cast<int>((high_bits >> j) & 1U) << 4;
      const int high = (block.qs[j] >> 4) | static_cast<int>((high_bits >> (j + 16)) & 1U) << 4;
      target[j] = static_cast<float>(low - 16) * d;
      target[j + 16] = static_cast<float>(high - 16) * d;
    }
  }
}

void encode(std::span<const float> values, std::span<const float> importance, std::byte* blocks) {
  for (std::size_t b = 0; b * kValues < values.size(); ++b) {
    const float* source = values.data() + b * kValues;
    const float* weight = importance.empty() ? nullptr : importance.data() + b * kValues;
    const StoredSymmetric stored = encode_symmetric_block(source, weight, kValues, kCodes);
    BlockQ5_0 block{.d = stored.d, .qh = {}, .qs = {}};
    std::uint32_t high_bits = 0;
    for (int j = 0; j < 16; ++j) {
      const int low = stored.codes[j];
      const int high = stored.codes[j + 16];
      block.qs[j] = static_cast<std::uint8_t>((low & 15) | (high & 15) << 4);
      high_bits |= static_cast<std::uint32_t>(low >> 4) << j;
      high_bits |= static_cast<std::uint32_t>(high >> 4) << (j + 16);
    }
    std::memcpy(block.qh, &high_bits, sizeof high_bits);
    std::memcpy(blocks + b * sizeof block, &block, sizeof block);
  }
}

}  // namespace

const BlockFormat kQ5_0{.name = "q5_0",
                        .ggml_id = 6,
                        .block_values = kValues,
                        .block_bytes = sizeof(BlockQ5_0),
                        .decode = decode,
                        .encode = encode,
                        .error_bound = 0.042,
                        .fallback = ""};

}  // namespace quantlane
