#include "formats/blocks/iq2_xs.h"

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
    BlockIq2Xs block;
    std::memcpy(&block, blocks + b * std::int64_t{sizeof block}, sizeof block);
    float* target = values + b * kValues;
    const float d = f16_to_f32(block.d);
    for (int g = 0; g < 32; ++g, target += 8) {
      const int scale = block.scales[g / 4] >> (g / 2 % 2 * 4) & 15;
      const float step = d * (0.5F + static_cast<float>(scale)) * 0.25F;
      const unsigned word = block.qs[g];
      decode_iq2_point(kGridIq2Xs[word & 511], signs_of_code(word >> 9), step, target);
    }
  }
}

}  // namespace

const BlockFormat kIq2Xs{.name = "iq2_xs",
                         .ggml_id = 17,
                         .block_values = kValues,
                         .block_bytes = sizeof(BlockIq2Xs),
                         .input = kQ8KInput,
                         .decode = decode,
                         .encode = encode_with<&BlockEncoders::iq2_xs>,
                         .error_bound = 0.297,
                         .fallback = "iq4_nl"};

}  // namespace quantlane
