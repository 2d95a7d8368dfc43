#include "formats/blocks/q4_k.h"

#include <cstring>

#include "core/half.h"
#include "formats/block_format.h"
#include "formats/block_grid.h"
#include "formats/block_values.h"
#include "formats/blocks/encode_with.h"
#include "formats/code_planes.h"
#include "formats/ggml_inputs.h"
#include "formats/scale_pairs.h"

namespace quantlane {
namespace {

constexpr int kValues = 256;

void decode(const std::byte* blocks, std::int64_t block_count, float* values) {
  for (std::int64_t b = 0; b < block_count; ++b) {
    BlockQ4K block;
    std::memcpy(&block, blocks + b * std::int64_t{sizeof block}, sizeof block);
    const float d = f16_to_f32(block.d);
    const float dmin = f16_to_f32(block.dmin);
    float* target = values + b * kValues;
    for (int j = 0; j < 8; ++j) {
      const ScalePair pair = scale_pair(block.scales, j);
      const float scale = d * static_cast<float>(pair.scale);
      const float minimum = dmin * static_cast<float>(pair.minimum);
      const std::uint8_t* nibbles = block.qs + 32 * (j / 2);
      for (int l = 0; l < 32; ++l) {
        const int code = j % 2 == 0 ? nibbles[l] & 15 : nibbles[l] >> 4;
        target[32 * j + l] = scale * static_cast<float>(code) - minimum;
      }
    }
  }
}

void take_apart(const std::byte* bytes, BlockParts& parts) {
  BlockQ4K block;
  std::memcpy(&block, bytes, sizeof block);
  parts.d = f16_to_f32(block.d);
  parts.dmin = f16_to_f32(block.dmin);
  for (int j = 0; j < 8; ++j) {
    const ScalePair pair = scale_pair(block.scales, j);
    parts.scales[j] = pair.scale;
    parts.minimums[j] = pair.minimum;
  }
  unpack_four_bits(block.qs, parts.codes);
}

void put_together(const BlockParts& parts, std::byte* bytes) {
  BlockQ4K block{};
  block.d = finite_f16_bits(parts.d);
  block.dmin = finite_f16_bits(parts.dmin);
  for (int j = 0; j < 8; ++j) {
    put_scale_pair(block.scales, j, {.scale = parts.scales[j], .minimum = parts.minimums[j]});
  }
  pack_four_bits(parts.codes, block.qs);
  std::memcpy(bytes, &block, sizeof block);
}

constexpr BlockGrid kGrid{.sub_values = 32,
                          .levels = {.low = 0, .high = 15},
                          .non_linear = false,
                          .scales = {.low = 0, .high = 63},
                          .high_minimum = 63,
                          .take_apart = take_apart,
                          .put_together = put_together};

}  // namespace

const BlockFormat kQ4K{.name = "q4_k",
                       .ggml_id = 12,
                       .block_values = kValues,
                       .block_bytes = sizeof(BlockQ4K),
                       .input = kQ8KInput,
                       .decode = decode,
                       .encode = encode_with<&BlockEncoders::q4_k>,
                       .error_bound = 0.075,
                       .fallback = "q5_0",
                       .grid = &kGrid};

}  // namespace quantlane
