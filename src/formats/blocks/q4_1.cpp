#include "formats/blocks/q4_1.h"

#include <cstring>

#include "core/half.h"
#include "formats/block_format.h"
#include "formats/block_grid.h"
#include "formats/block_values.h"
#include "formats/blocks/encode_with.h"
#include "formats/code_planes.h"
#include "formats/ggml_inputs.h"

namespace quantlane {
namespace {

constexpr int kValues = 32;

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

void take_apart(const std::byte* bytes, BlockParts& parts) {
  BlockQ4_1 block;
  std::memcpy(&block, bytes, sizeof block);
  parts.d = f16_to_f32(block.d);
  parts.dmin = -f16_to_f32(block.m);
  parts.minimums[0] = 1;
  parts.scales[0] = 1;
  unpack_nibbles(block.qs, 16, parts.codes);
}

void put_together(const BlockParts& parts, std::byte* bytes) {
  BlockQ4_1 block{};
  block.d = finite_f16_bits(parts.d);
  block.m = finite_f16_bits(-parts.dmin);
  pack_nibbles(parts.codes, 16, block.qs);
  std::memcpy(bytes, &block, sizeof block);
}

constexpr BlockGrid kGrid{.sub_values = kValues,
                          .levels = {.low = 0, .high = 15},
                          .non_linear = false,
                          .scales = {.low = 1, .high = 1},
                          .high_minimum = 1,
                          .take_apart = take_apart,
                          .put_together = put_together};

}  // namespace

const BlockFormat kQ4_1{.name = "q4_1",
                        .ggml_id = 3,
                        .block_values = kValues,
                        .block_bytes = sizeof(BlockQ4_1),
                        .input = kQ8_1Input,
                        .decode = decode,
                        .encode = encode_with<&BlockEncoders::q4_1>,
                        .error_bound = 0.074,
                        .fallback = "",
                        .grid = &kGrid};

}  // namespace quantlane
