#include "formats/q6_k.h"

#include <cstring>

#include "core/half.h"
#include "formats/symmetric_superblock.h"

namespace quantlane {
namespace {

constexpr SymmetricLayout kLayout{.sub_blocks = 16,
                                  .codes = {.low = -32, .high = 31},
                                  .scales = {.low = -128, .high = 127},
                                  .rounds = 2};

void decode(const std::byte* blocks, std::int64_t block_count, float* values) {
  for (std::int64_t b = 0; b < block_count; ++b) {
    BlockQ6K block;
    std::memcpy(&block, blocks + b * std::int64_t{sizeof block}, sizeof block);
    const float d = f16_to_f32(block.d);
    for (int i = 0; i < kSuperBlock; ++i) {
      const int half = i / 128;
      const int quarter = i % 128 / 32;
      const int l = i % 32;
      const int nibbles = block.ql[64 * half + 32 * (quarter % 2) + l];
      const int low = quarter < 2 ? nibbles & 15 : nibbles >> 4;
      const int high = block.qh[32 * half + l] >> (2 * quarter) & 3;
      const float scale = d * static_cast<float>(block.scales[i / 16]);
      values[b * kSuperBlock + i] = scale * static_cast<float>((low | high << 4) - 32);
    }
  }
}

void encode(std::span<const float> values, std::span<const float> importance, std::byte* blocks) {
  for (std::size_t b = 0; b * kSuperBlock < values.size(); ++b) {
    const float* source = values.data() + b * kSuperBlock;
    const float* weight = importance.empty() ? nullptr : importance.data() + b * kSuperBlock;
    const SymmetricSuperBlock found = encode_symmetric_superblock(source, weight, kLayout);
    BlockQ6K block{.ql = {}, .qh = {}, .scales = {}, .d = found.d};
    for (int j = 0; j < 16; ++j) block.scales[j] = static_cast<std::int8_t>(found.scales[j]);
    for (int i = 0; i < 64; ++i) {
      const int half = i / 32;
      const int l = i % 32;
      const unsigned char* codes = found.codes + 128 * half + l;
      block.ql[64 * half + l] = static_cast<std::uint8_t>((codes[0] & 15) | (codes[64] & 15) << 4);
      block.ql[64 * half + 32 + l] =
          static_cast<std::uint8_t>((codes[32] & 15) | (codes[96] & 15) << 4);
      block.qh[i] = static_cast<std::uint8_t>(codes[0] >> 4 | (codes[32] >> 4) << 2 |
                                              (codes[64] >> 4) << 4 | (codes[96] >> 4) << 6);
    }
    std::memcpy(blocks + b * sizeof block, &block, sizeof block);
  }
}

}  // namespace

const BlockFormat kQ6K{.name = "q6_k",
                       .ggml_id = 14,
                       .block_values = kSuperBlock,
                       .block_bytes = sizeof(BlockQ6K),
                       .decode = decode,
                       .encode = encode,
                       .error_bound = 0.018,
                       .fallback = "q8_0"};

}  // namespace quantlane
