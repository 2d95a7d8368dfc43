#include "formats/q8_0.h"

#include <cmath>
#include <cstring>

#include "core/half.h"
#include "formats/block_format.h"
#include "formats/block_grid.h"
#include "formats/block_values.h"
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

// As ggml's reference: d = amax / 127, codes by the unrounded d, halves away from zero; so files
// equal those of llama-quantize, which ignores importance here. Deviates only where amax / 127 has
// no finite binary16: d stays finite and codes saturate.
void encode(std::span<const float> values, std::span<const float> /*importance*/,
            std::byte* blocks) {
  for (std::size_t b = 0; b * kValues < values.size(); ++b) {
    const float* source = values.data() + b * kValues;
    float d = largest_magnitude(source, kValues) / 127.0F;
    BlockQ8_0 block{.d = finite_f16_bits(d), .qs = {}};
    if (d >= 65520.0F) d = f16_value(block.d);
    const float inverse = d != 0.0F ? 1.0F / d : 0.0F;
    for (int j = 0; j < kValues && std::isfinite(inverse); ++j) {
      const float code = std::round(source[j] * inverse);
      block.qs[j] = static_cast<std::int8_t>(code < -127 ? -127 : code > 127 ? 127 : code);
    }
    std::memcpy(blocks + b * sizeof block, &block, sizeof block);
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
                        .encode = encode,
                        .error_bound = 0.0056,
                        .fallback = "",
                        .grid = &kGrid};

}  // namespace quantlane
