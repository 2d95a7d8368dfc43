#include "formats/blocks/iq4_xs.h"

#include <cstring>

#include "core/half.h"
#include "formats/block_format.h"
#include "formats/block_grid.h"
#include "formats/block_values.h"
#include "formats/blocks/encode_with.h"
#include "formats/code_planes.h"
#include "formats/fp4_and_nl_codes.h"
#include "formats/ggml_inputs.h"

namespace quantlane {
namespace {

constexpr int kValues = 256;

void decode(const std::byte* blocks, std::int64_t block_count, float* values) {
  for (std::int64_t b = 0; b < block_count; ++b) {
    BlockIq4Xs block;
    std::memcpy(&block, blocks + b * std::int64_t{sizeof block}, sizeof block);
    float* target = values + b * kValues;
    const float d = f16_to_f32(block.d);
    for (int j = 0; j < 8; ++j) {
      const int low = block.scales_l[j / 2] >> (4 * (j % 2)) & 15;
      const int scale = low | (block.scales_h >> (2 * j) & 3) << 4;
      const float step = d * static_cast<float>(scale - 32);
      for (int l = 0; l < 16; ++l) {
        target[32 * j + l] = step * kNonLinearValues[block.qs[16 * j + l] & 15];
        target[32 * j + l + 16] = step * kNonLinearValues[block.qs[16 * j + l] >> 4];
      }
    }
  }
}

void take_apart(const std::byte* bytes, BlockParts& parts) {
  BlockIq4Xs block;
  std::memcpy(&block, bytes, sizeof block);
  parts.d = f16_to_f32(block.d);
  for (int j = 0; j < 8; ++j) {
    const int low = block.scales_l[j / 2] >> (4 * (j % 2)) & 15;
    parts.scales[j] = (low | (block.scales_h >> (2 * j) & 3) << 4) - 32;
    unpack_nibbles(block.qs + 16 * j, 16, parts.codes + 32 * j);
  }
}

void put_together(const BlockParts& parts, std::byte* bytes) {
  BlockIq4Xs block{};
  block.d = finite_f16_bits(parts.d);
  for (int j = 0; j < 8; ++j) {
    const int scale = parts.scales[j] + 32;
    std::uint8_t& low = block.scales_l[j / 2];
    low = static_cast<std::uint8_t>(low | (scale & 15) << (4 * (j % 2)));
    block.scales_h = static_cast<std::uint16_t>(block.scales_h | (scale >> 4) << (2 * j));
    pack_nibbles(parts.codes + 32 * j, 16, block.qs + 16 * j);
  }
  std::memcpy(bytes, &block, sizeof block);
}

constexpr BlockGrid kGrid{.sub_values = 32,
                          .levels = {.low = -127, .high = 113},
                          .non_linear = true,
                          .scales = {.low = -32, .high = 31},
                          .high_minimum = 0,
                          .take_apart = take_apart,
                          .put_together = put_together};

}  // namespace

const BlockFormat kIq4Xs{.name = "iq4_xs",
                         .ggml_id = 23,
                         .block_values = kValues,
                         .block_bytes = sizeof(BlockIq4Xs),
                         .input = kQ8KInput,
                         .decode = decode,
                         .encode = encode_with<&BlockEncoders::iq4_xs>,
                         .error_bound = 0.078,
                         .fallback = "iq4_nl",
                         .grid = &kGrid};

}  // namespace quantlane
