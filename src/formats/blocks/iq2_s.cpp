#include "formats/blocks/iq2_s.h"

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
    BlockIq2S block;
    std::memcpy(&block, blocks + b * std::int64_t{sizeof block}, sizeof block);
    float* target = values + b * kValues;
    const float d = f16_to_f32(block.d);
    for (int g = 0; g < 32; ++g, target += 8) {
      const int scale = block.scales[g / 4] >> (g / 2 % 2 * 4) & 15;
      const float step = d * (0.5F + static_cast<float>(scale)) * 0.25F;
      const int index = block.qs[g] | (block.qh[g / 4] >> (g % 4 * 2) & 3) << 8;
      decode_iq2_point(kGridIq2S[index], block.signs[g], step, target);
    }
  }
}

}  // namespace

const BlockFormat kIq2S{.name = "iq2_s",
                        .ggml_id = 22,
                        .block_values = kValues,
                        .block_bytes = sizeof(BlockIq2S),
                        .input = kQ8KInput,
                        .decode = decode,
                        .encode = encode_with<&BlockEncoders::iq2_s>,
                        .error_bound = 0.249,
                        .fallback = "iq4_nl"};

}  // namespace quantlane
