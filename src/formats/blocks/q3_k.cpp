#include "formats/blocks/q3_k.h"

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
    BlockQ3K block;
    std::memcpy(&block, blocks + b * std::int64_t{sizeof block}, sizeof block);
    const float d = f16_to_f32(block.d);
    for (int j = 0; j < 16; ++j) {
      const float scale = d * static_cast<float>(q3_k_scale(block, j) - 32);
      for (int i = 16 * j; i < 16 * j + 16; ++i) {
        const int low = block.qs[32 * (i / 128) + i % 32] >> (2 * (i % 128 / 32)) & 3;
        const int high = block.hmask[i % 32] >> (i / 32) & 1;
        values[b * kValues + i] = scale * static_cast<float>((low | high << 2) - 4);
      }
    }
  }
}

void take_apart(const std::byte* bytes, BlockParts& parts) {
  BlockQ3K block;
  std::memcpy(&block, bytes, sizeof block);
  parts.d = f16_to_f32(block.d);
  for (int j = 0; j < 16; ++j) parts.scales[j] = q3_k_scale(block, j) - 32;
  unpack_two_bits(block.qs, parts.codes);
  unpack_bit_planes<2>(block.hmask, parts.codes);
}

void put_together(const BlockParts& parts, std::byte* bytes) {
  BlockQ3K block{};
  block.d = finite_f16_bits(parts.d);
  for (int j = 0; j < 16; ++j) put_q3_k_scale(block, j, parts.scales[j] + 32);
  pack_two_bits(parts.codes, block.qs);
  pack_bit_planes<2>(parts.codes, block.hmask);
  std::memcpy(bytes, &block, sizeof block);
}

constexpr BlockGrid kGrid{.sub_values = 16,
                          .levels = {.low = -4, .high = 3},
                          .non_linear = false,
                          .scales = {.low = -32, .high = 31},
                          .high_minimum = 0,
                          .take_apart = take_apart,
                          .put_together = put_together};

}  // namespace

const BlockFormat kQ3K{.name = "q3_k",
                       .ggml_id = 11,
                       .block_values = kValues,
                       .block_bytes = sizeof(BlockQ3K),
                       .input = kQ8KInput,
                       .decode = decode,
                       .encode = encode_with<&BlockEncoders::q3_k>,
                       .error_bound = 0.15,
                       .fallback = "q4_0",
                       .grid = &kGrid};

}  // namespace quantlane
