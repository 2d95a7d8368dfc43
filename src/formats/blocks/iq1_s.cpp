#include "formats/blocks/iq1_s.h"

#include <cstring>

#include "core/half.h"
#include "formats/block_format.h"
#include "formats/blocks/encode_with.h"
#include "formats/blocks/grid_decode.h"
#include "formats/ggml_inputs.h"

namespace quantlane {
namespace {

constexpr int kValues = 256;

void decode(const std::byte* blocks, std::int64_t block_count, float* values) {
  for (std::int64_t b = 0; b < block_count; ++b) {
    BlockIq1S block;
    std::memcpy(&block, blocks + b * std::int64_t{sizeof block}, sizeof block);
    float* target = values + b * kValues;
    const float d = f16_to_f32(block.d);
    for (int g = 0; g < 32; ++g, target += 8) {
      const unsigned high = block.qh[g / 4];
      const float step = d * static_cast<float>(2 * (high >> 12 & 7) + 1);
      const float delta = (high & 0x8000) != 0 ? -kDeltaIq1 : kDeltaIq1;
      const unsigned index = block.qs[g] | (high >> (g % 4 * 3) & 7) << 8;
      decode_iq1_point(kGridIq1[index], delta, step, target);
    }
  }
}

}  // namespace

const BlockFormat kIq1S{.name = "iq1_s",
                        .ggml_id = 19,
                        .block_values = kValues,
                        .block_bytes = sizeof(BlockIq1S),
                        .input = kQ8KInput,
                        .decode = decode,
                        .encode = encode_with<&BlockEncoders::iq1_s>,
                        .error_bound = 0.467,
                        .fallback = "iq4_nl"};

}  // namespace quantlane
