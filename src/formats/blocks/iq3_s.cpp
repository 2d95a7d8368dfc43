#include "formats/blocks/iq3_s.h"

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
    BlockIq3S block;
    std::memcpy(&block, blocks + b * std::int64_t{sizeof block}, sizeof block);
    float* target = values + b * kValues;
    const float d = f16_to_f32(block.d);
    for (int g = 0; g < 64; ++g, target += 4) {
      const int scale = block.scales[g / 16] >> (g / 8 % 2 * 4) & 15;
      const float step = d * static_cast<float>(1 + 2 * scale);
      const int index = block.qs[g] | (block.qh[g / 8] >> (g % 8) & 1) << 8;
      const unsigned signs = static_cast<unsigned>(block.signs[g / 2]) >> (g % 2 * 4);
      decode_iq3_point(kGridIq3S[index], kLevelsIq3S, signs, step, target);
    }
  }
}

}  // namespace

const BlockFormat kIq3S{.name = "iq3_s",
                        .ggml_id = 21,
                        .block_values = kValues,
                        .block_bytes = sizeof(BlockIq3S),
                        .input = kQ8KInput,
                        .decode = decode,
                        .encode = encode_with<&BlockEncoders::iq3_s>,
                        .error_bound = 0.136,
                        .fallback = "iq4_nl"};

}  // namespace quantlane
