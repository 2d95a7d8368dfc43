#include "formats/q2_k.h"

#include <cstring>

#include "core/half.h"
#include "formats/affine_superblock.h"

namespace quantlane {
namespace {

constexpr AffineLayout kLayout{.sub_blocks = 16, .high_code = 3, .high_scale = 15, .rounds = 4};

void decode(const std::byte* blocks, std::int64_t block_count, float* values) {
  for (std::int64_t b = 0; b < block_count; ++b) {
    BlockQ2K block;
    std::memcpy(&block, blocks + b * std::int64_t{sizeof block}, sizeof block);
    const float d = f16_to_f32(block.d);
    const float dmin = f16_to_f32(block.dmin);
    for (int i = 0; i < kSuperBlock; ++i) {
      const int pair = block.scales[i / 16];
      const float scale = d * static_cast<float>(pair & 15);
      const float minimum = dmin * static_cast<float>(pair >> 4);
      const int code = block.qs[32 * (i / 128) + i % 32] >> (2 * (i % 128 / 32)) & 3;
      values[b * kSuperBlock + i] = scale * static_cast<float>(code) - minimum;
    }
  }
}

void encode(std::span<const float> values, std::span<const float> importance, std::byte* blocks) {
  for (std::size_t b = 0; b * kSuperBlock < values.size(); ++b) {
    const float* source = values.data() + b * kSuperBlock;
    const float* weight = importance.empty() ? nullptr : importance.data() + b * kSuperBlock;
    const AffineSuperBlock found = encode_affine_superblock(source, weight, kLayout);
    BlockQ2K block{.scales = {}, .qs = {}, .d = found.d, .dmin = found.dmin};
    for (int j = 0; j < 16; ++j) {
      block.scales[j] = static_cast<std::uint8_t>(found.scales[j] | found.minimums[j] << 4);
    }
    for (int i = 0; i < 64; ++i) {
      const unsigned char* codes = found.codes + 128 * (i / 32) + i % 32;
      block.qs[i] =
          static_cast<std::uint8_t>(codes[0] | codes[32] << 2 | codes[64] << 4 | codes[96] << 6);
    }
    std::memcpy(blocks + b * sizeof block, &block, sizeof block);
  }
}

}  // namespace

const BlockFormat kQ2K{.name = "q2_k",
                       .ggml_id = 10,
                       .block_values = kSuperBlock,
                       .block_bytes = sizeof(BlockQ2K),
                       .decode = decode,
                       .encode = encode,
                       .error_bound = 0.27,
                       .fallback = "q4_0"};

}  // namespace quantlane
