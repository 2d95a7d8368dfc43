#include "formats/blocks/q8_0.h"

#include <cstring>

#include "core/half.h"
#include "formats/block_format.h"
#include "formats/block_grid.h"
#include "formats/block_values.h"
#include "formats/blocks/encode_with.h"
#include "formats/ggml_inputs.h"

namespace quantlane {
namespace {

constexpr int kValues = 32;

void decode(const std::byte* blocks, std::int64_t block_count, float* values) {
  for (std::int64_t b = 0; b < block_count; ++b) {
    BlockQ8_0 block;
    std::memcpy(&block, blocks + b * std::int64_t{sizeof block}, sizeof block);
    const float d = f16_to_f32(block.d);
    for (int j = 0; j < kValues; ++j) values[b * kValues + j] = static_cast<float>(block.qs[j]) * d;
  }
}

void take_apart(const std::byte* bytes, BlockParts& parts) {
  BlockQ8_0 block;
  std::memcpy(&block, bytes, sizeof block);
  parts.d = f16_to_f32(block.d);
  parts.scales[0] = 1;
  for (int i = 0; i < kValues; ++i) parts.codes[i] = static_cast<std::uint8_t>(block.qs[i] + 128);
}

void put_together(const BlockParts& parts, std::byte* bytes) {
  BlockQ8_0 block{};
  block.d = finite_f16_bits(parts.d);
  for (int i = 0; i < kValues; ++i) block.qs[i] = static_cast<std::int8_t>(parts.codes[i] - 128);
  std::memcpy(bytes, &block, sizeof block);
}

constexpr BlockGrid kGrid{.sub_values = kValues,
                          .levels = {.low = -128, .high = 127},
                          .non_linear = false,
                          .scales = {.low = 1, .high = 1},
                          .high_minimum = 0,
                          .take_apart = take_apart,
                          .put_together = put_together};

}  // namespace

const BlockFormat kQ8_0{.name = "q8_0",
                        .ggml_id = 8,
                        .block_values = kValues,
                        .block_bytes = sizeof(BlockQ8_0),
                        .input = kQ8_0Input,
                        .decode = decode,
                        .encode = encode_with<&BlockEncoders::q8_0>,
                        .error_bound = 0.0056,
                        .fallback = "",
                        .grid = &kGrid};

}  // namespace quantlane
