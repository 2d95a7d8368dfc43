#include "formats/blocks/q2_k.h"

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

constexpr int kValues = 256;

void decode(const std::byte* blocks, std::int64_t block_count, float* values) {
  for (std::int64_t b = 0; b < block_count; ++b) {
    BlockQ2K block;
    std::memcpy(&block, blocks + b * std::int64_t{sizeof block}, sizeof block);
    const float d = f16_to_f32(block.d);
    const float dmin = f16_to_f32(block.dmin);
    for (int i = 0; i < kValues; ++i) {
      const int pair = block.scales[i / 16];
      const float scale = d * static_cast<float>(pair & 15);
      const float minimum = dmin * static_cast<float>(pair >> 4);
      const int code = block.qs[32 * (i / 128) + i % 32] >> (2 * (i % 128 / 32)) & 3;
      values[b * kValues + i] = scale * static_cast<float>(code) - minimum;
    }
  }
}

void take_apart(const std::byte* bytes, BlockParts& parts) {
  BlockQ2K block;
  std::memcpy(&block, bytes, sizeof block);
  parts.d = f16_to_f32(block.d);
  parts.dmin = f16_to_f32(block.dmin);
  for (int j = 0; j < 16; ++j) {
    parts.scales[j] = block.scales[j] & 15;
    parts.minimums[j] = block.scales[j] >> 4;
  }
  unpack_two_bits(block.qs, parts.codes);
}

void put_together(const BlockParts& parts, std::byte* bytes) {
  BlockQ2K block{};
  block.d = finite_f16_bits(parts.d);
  block.dmin = finite_f16_bits(parts.dmin);
  for (int j = 0; j < 16; ++j) {
    block.scales[j] = static_cast<std::uint8_t>(parts.scales[j] | parts.minimums[j] << 4);
  }
  pack_two_bits(parts.codes, block.qs);
  std::memcpy(bytes, &block, sizeof block);
}

constexpr BlockGrid kGrid{.sub_values = 16,
                          .levels = {.low = 0, .high = 3},
                          .non_linear = false,
                          .scales = {.low = 0, .high = 15},
                          .high_minimum = 15,
                          .take_apart = take_apart,
                          .put_together = put_together};

}  // namespace

const BlockFormat kQ2K{.name = "q2_k",
                       .ggml_id = 10,
                       .block_values = kValues,
                       .block_bytes = sizeof(BlockQ2K),
                       .input = kQ8KInput,
                       .decode = decode,
                       .encode = encode_with<&BlockEncoders::q2_k>,
                       .error_bound = 0.27,
                       .fallback = "q4_0",
                       .grid = &kGrid};

}  // namespace quantlane
