#include "formats/blocks/iq4_nl.h"

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

constexpr int kValues = 32;

void decode(const std::byte* blocks, std::int64_t block_count, float* values) {
  for (std::int64_t b = 0; b < block_count; ++b) {
    BlockIq4Nl block;
    std::memcpy(&block, blocks + b * std::int64_t{sizeof block}, sizeof block);
    float* target = values + b * kValues;
    const float d = f16_to_f32(block.d);
    for (int j = 0; j < 16; ++j) {
      target[j] = d * kNonLinearValues[block.qs[j] & 15];
      target[j + 16] = d * kNonLinearValues[block.qs[j] >> 4];
    }
  }
}

void take_apart(const std::byte* bytes, BlockParts& parts) {
  BlockIq4Nl block;
  std::memcpy(&block, bytes, sizeof block);
  parts.d = f16_to_f32(block.d);
  parts.scales[0] = 1;
  unpack_nibbles(block.qs, 16, parts.codes);
}

void put_together(const BlockParts& parts, std::byte* bytes) {
  BlockIq4Nl block{};
  block.d = finite_f16_bits(parts.d);
  pack_nibbles(parts.codes, 16, block.qs);
  std::memcpy(bytes, &block, sizeof block);
}

constexpr BlockGrid kGrid{.sub_values = kValues,
                          .levels = {.low = -127, .high = 113},
                          .non_linear = true,
                          .scales = {.low = 1, .high = 1},
                          .high_minimum = 0,
                          .take_apart = take_apart,
                          .put_together = put_together};

}  // namespace

const BlockFormat kIq4Nl{.name = "iq4_nl",
                         .ggml_id = 20,
                         .block_values = kValues,
                         .block_bytes = sizeof(BlockIq4Nl),
                         .input = kQ8_0Input,
                         .decode = decode,
                         .encode = encode_with<&BlockEncoders::iq4_nl>,
                         .error_bound = 0.078,
                         .fallback = "",
                         .grid = &kGrid};

}  // namespace quantlane
