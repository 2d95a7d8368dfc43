#include "formats/blocks/q5_1.h"

#include <cstring>

#include "core/half.h"
#include "formats/block_format.h"
#include "formats/block_grid.h"
#include "formats/block_values.h"
#include "formats/blocks/encode_with.h"
#include "formats/fifth_bits.h"
#include "formats/ggml_inputs.h"

namespace quantlane {
namespace {

constexpr int kValues = 32;

void decode(const std::byte* blocks, std::int64_t block_count, float* values) {
  for (std::int64_t b = 0; b < block_count; ++b) {
    BlockQ5_1 block;
    std::memcpy(&block, blocks + b * std::int64_t{sizeof block}, sizeof block);
    const float d = f16_to_f32(block.d);
    const float m = f16_to_f32(block.m);
    int codes[kValues];
    unpack_five_bits(block.qh, block.qs, codes);
    for (int i = 0; i < kValues; ++i) {
      values[b * kValues + i] = static_cast<float>(codes[i]) * d + m;
    }
  }
}

void take_apart(const std::byte* bytes, BlockParts& parts) {
  BlockQ5_1 block;
  std::memcpy(&block, bytes, sizeof block);
  parts.d = f16_to_f32(block.d);
  parts.dmin = -f16_to_f32(block.m);
  parts.minimums[0] = 1;
  parts.scales[0] = 1;
  int codes[kValues];
  unpack_five_bits(block.qh, block.qs, codes);
  for (int i = 0; i < kValues; ++i) parts.codes[i] = static_cast<std::uint8_t>(codes[i]);
}

void put_together(const BlockParts& parts, std::byte* bytes) {
  BlockQ5_1 block{};
  block.d = finite_f16_bits(parts.d);
  block.m = finite_f16_bits(-parts.dmin);
  unsigned char codes[kValues];
  std::memcpy(codes, parts.codes, sizeof codes);
  pack_five_bits(codes, block.qh, block.qs);
  std::memcpy(bytes, &block, sizeof block);
}

constexpr BlockGrid kGrid{.sub_values = kValues,
                          .levels = {.low = 0, .high = 31},
                          .non_linear = false,
                          .scales = {.low = 1, .high = 1},
                          .high_minimum = 1,
                          .take_apart = take_apart,
                          .put_together = put_together};

}  // namespace

const BlockFormat kQ5_1{.name = "q5_1",
                        .ggml_id = 7,
                        .block_values = kValues,
                        .block_bytes = sizeof(BlockQ5_1),
                        .input = kQ8_1Input,
                        .decode = decode,
                        .encode = encode_with<&BlockEncoders::q5_1>,
                        .error_bound = 0.036,
                        .fallback = "",
                        .grid = &kGrid};

}  // namespace quantlane
