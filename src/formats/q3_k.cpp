#include "formats/q3_k.h"

#include <cstring>

#include "core/half.h"
#include "formats/symmetric_superblock.h"

namespace quantlane {
namespace {

constexpr SymmetricLayout kLayout{.sub_blocks = 16,
                                  .codes = {.low = -4, .high = 3},
                                  .scales = {.low = -32, .high = 31},
                                  .rounds = 3};

int stored_scale(const BlockQ3K& block, int j) {
  const int low = j < 8 ? block.scales[j] & 15 : block.scales[j - 8] >> 4;
  return low | (block.scales[8 + j % 4] >> (2 * (j / 4)) & 3) << 4;
}

void put_scale(BlockQ3K& block, int j, int scale) {
  std::uint8_t& nibbles = block.scales[j % 8];
  std::uint8_t& high = block.scales[8 + j % 4];
  nibbles = static_cast<std::uint8_t>(nibbles | (scale & 15) << (j < 8 ? 0 : 4));
  high = static_cast<std::uint8_t>(high | (scale >> 4) << (2 * (j / 4)));
}

void decode(const std::byte* blocks, std::int64_t block_count, float* values) {
  for (std::int64_t b = 0; b < block_count; ++b) {
    BlockQ3K block;
    std::memcpy(&block, blocks + b * std::int64_t{sizeof block}, sizeof block);
    const float d = f16_to_f32(block.d);
    for (int j = 0; j < 16; ++j) {
      const float scale = d * static_cast<float>(stored_scale(block, j) - 32);
      for (int i = 16 * j; i < 16 * j + 16; ++i) {
        const int low = block.qs[32 * (i / 128) + i % 32] >> (2 * (i % 128 / 32)) & 3;
        const int high = block.hmask[i % 32] >> (i / 32) & 1;
        values[b * kSuperBlock + i] = scale * static_cast<float>((low | high << 2) - 4);
      }
    }
  }
}

void encode(std::span<const float> values, std::span<const float> importance, std::byte* blocks) {
  for (std::size_t b = 0; b * kSuperBlock < values.size(); ++b) {
    const float* source = values.data() + b * kSuperBlock;
    const float* weight = importance.empty() ? nullptr : importance.data() + b * kSuperBlock;
    const SymmetricSuperBlock found = encode_symmetric_superblock(source, weight, kLayout);
    BlockQ3K block{.hmask = {}, .qs = {}, .scales = {}, .d = found.d};
    for (int j = 0; j < 16; ++j) put_scale(block, j, found.scales[j] + 32);
    for (int i = 0; i < kSuperBlock; ++i) {
      const int code = found.codes[i];
      std::uint8_t& low = block.qs[32 * (i / 128) + i % 32];
      std::uint8_t& high = block.hmask[i % 32];
      low = static_cast<std::uint8_t>(low | (code & 3) << (2 * (i % 128 / 32)));
      high = static_cast<std::uint8_t>(high | (code >> 2) << (i / 32));
    }
    std::memcpy(blocks + b * sizeof block, &block, sizeof block);
  }
}

}  // namespace

const BlockFormat kQ3K{.name = "q3_k",
                       .ggml_id = 11,
                       .block_values = kSuperBlock,
                       .block_bytes = sizeof(BlockQ3K),
                       .decode = decode,
                       .encode = encode,
                       .error_bound = 0.15,
                       .fallback = "q4_0"};

}  // namespace quantlane
