#include "formats/blocks/iq1_m.h"

#include <cstring>

#include "core/half.h"
#include "formats/block_format.h"
#include "formats/blocks/encode_with.h"
#include "formats/blocks/grid_decode.h"
#include "formats/ggml_inputs.h"

namespace quantlane {
namespace {

constexpr int kValues = 256;

float scale_of_block(const BlockIq1M& block) {
  unsigned bits = 0;
  for (int i = 0; i < 4; ++i) bits |= (block.scales[i] >> 12 & 15U) << (4 * i);
  return f16_to_f32(static_cast<std::uint16_t>(bits));
}

void decode(const std::byte* blocks, std::int64_t block_count, float* values) {
  for (std::int64_t b = 0; b < block_count; ++b) {
    BlockIq1M block;
    std::memcpy(&block, blocks + b * std::int64_t{sizeof block}, sizeof block);
    float* target = values + b * kValues;
    const float d = scale_of_block(block);
    for (int g = 0; g < 32; ++g, target += 8) {
      const int scale = block.scales[g / 8] >> (g / 2 % 4 * 3) & 7;
      const float step = d * static_cast<float>(2 * scale + 1);
      const int high = block.qh[g / 2] >> (g % 2 * 4) & 15;
      const float delta = (high & 8) != 0 ? -kDeltaIq1 : kDeltaIq1;
      decode_iq1_point(kGridIq1[block.qs[g] | (high & 7) << 8], delta, step, target);
    }
  }
}

}  // namespace

const BlockFormat kIq1M{.name = "iq1_m",
                        .ggml_id = 29,
                        .block_values = kValues,
                        .block_bytes = sizeof(BlockIq1M),
                        .input = kQ8KInput,
                        .decode = decode,
                        .encode = encode_with<&BlockEncoders::iq1_m>,
                        .error_bound = 0.433,
                        .fallback = "iq4_nl"};

}  // namespace quantlane
