#include "formats/q5_k.h"

#include <cstring>

#include "core/half.h"
#include "formats/affine_superblock.h"
#include "formats/scale_pairs.h"

namespace quantlane {
namespace {

constexpr AffineLayout kLayout{.sub_blocks = 8, .high_code = 31, .high_scale = 63, .rounds = 3};

void decode(const std::byte* blocks, std::int64_t block_count, float* values) {
  for (std::int64_t b = 0; b < block_count; ++b) {
    BlockQ5K block;
    std::memcpy(&block, blocks + b * std::int64_t{sizeof block}, sizeof block);
    const float d = f16_to_f32(block.d);
    const float dmin = f16_to_f32(block.dmin);
    float* target = values + b * kSuperBlock;
    for (int j = 0; j < 8; ++j) {
      const ScalePair pair = scale_pair(block.scales, j);
      const float scale = d * static_cast<float>(pair.scale);
      const float minimum = dmin * static_cast<float>(pair.minimum);
      const std::uint8_t* nibbles = block.qs + 32 * (j / 2);
      for (int l = 0; l < 32; ++l) {
        const int low = j % 2 == 0 ? nibbles[l] & 15 : nibbles[l] >> 4;
        const int code = low | (block.qh[l] >> j & 1) << 4;
        target[32 * j + l] = scale * static_cast<float>(code) - minimum;
      }
    }
  }
}

void encode(std::span<const float> values, std::span<const float> importance, std::byte* blocks) {
  for (std::size_t b = 0; b * kSuperBlock < values.size(); ++b) {
    const float* source = values.data() + b * kSuperBlock;
    const float* weight = importance.empty() ? nullptr : importance.data() + b * kSuperBlock;
    const AffineSuperBlock found = encode_affine_superblock(source, weight, kLayout);
    BlockQ5K block{.d = found.d, .dmin = found.dmin, .scales = {}, .qh = {}, .qs = {}};
    for (int j = 0; j < 8; ++j) {
      put_scale_pair(block.scales, j, {.scale = found.scales[j], .minimum = found.minimums[j]});
    }
    for (int i = 0; i < 128; ++i) {
      const unsigned char* codes = found.codes + 64 * (i / 32) + i % 32;
      block.qs[i] = static_cast<std::uint8_t>((codes[0] & 15) | (codes[32] & 15) << 4);
    }
    for (int l = 0; l < 32; ++l) {
      unsigned bits = 0;
      for (int j = 0; j < 8; ++j) bits |= static_cast<unsigned>(found.codes[32 * j + l] >> 4) << j;
      block.qh[l] = static_cast<std::uint8_t>(bits);
    }
    std::memcpy(blocks + b * sizeof block, &block, sizeof block);
  }
}

}  // namespace

const BlockFormat kQ5K{.name = "q5_k",
                       .ggml_id = 13,
                       .block_values = kSuperBlock,
                       .block_bytes = sizeof(BlockQ5K),
                       .decode = decode,
                       .encode = encode,
                       .error_bound = 0.037,
                       .fallback = "q5_1"};

}  // namespace quantlane
