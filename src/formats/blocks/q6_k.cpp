#include "formats/blocks/q6_k.h"

#include <algorithm>
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
    BlockQ6K block;
    std::memcpy(&block, blocks + b * std::int64_t{sizeof block}, sizeof block);
    const float d = f16_to_f32(block.d);
    for (int i = 0; i < kValues; ++i) {
      const int half = i / 128;
      const int quarter = i % 128 / 32;
      const int l = i % 32;
      const int nibbles = block.ql[64 * half + 32 * (quarter % 2) + l];
      const int low = quarter < 2 ? nibbles & 15 : nibbles >> 4;
      const int high = block.qh[32 * half + l] >> (2 * quarter) & 3;
      const float scale = d * static_cast<float>(block.scales[i / 16]);
      values[b * kValues + i] = scale * static_cast<float>((low | high << 4) - 32);
    }
  }
}

void take_apart(const std::byte* bytes, BlockParts& parts) {
  BlockQ6K block;
  std::memcpy(&block, bytes, sizeof block);
  parts.d = f16_to_f32(block.d);
  std::ranges::copy(block.scales, parts.scales);
  unpack_six_bits(block.ql, block.qh, parts.codes);
}

void put_together(const BlockParts& parts, std::byte* bytes) {
  BlockQ6K block{};
  block.d = finite_f16_bits(parts.d);
  for (int j = 0; j < 16; ++j) block.scales[j] = static_cast<std::int8_t>(parts.scales[j]);
  pack_six_bits(parts.codes, block.ql, block.qh);
  std::memcpy(bytes, &block, sizeof block);
}

constexpr BlockGrid kGrid{.sub_values = 16,
                          .levels = {.low = -32, .high = 31},
                          .non_linear = false,
                          .scales = {.low = -128, .high = 127},
                          .high_minimum = 0,
                          .take_apart = take_apart,
                          .put_together = put_together};

}  // namespace

const BlockFormat kQ6K{.name = "q6_k",
                       .ggml_id = 14,
                       .block_values = kValues,
                       .block_bytes = sizeof(BlockQ6K),
                       .input = kQ8KInput,
                       .decode = decode,
                       .encode = encode_with<&BlockEncoders::q6_k>,
                       .error_bound = 0.018,
                       .fallback = "q8_0",
                       .grid = &kGrid};

}  // namespace quantlane
