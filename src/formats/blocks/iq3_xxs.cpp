#include "formats/blocks/iq3_xxs.h"

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
    BlockIq3Xxs block;
    std::memcpy(&block, blocks + b * std::int64_t{sizeof block}, sizeof block);
    float* target = values + b * kValues;
    const float d = f16_to_f32(block.d);
    for (int j = 0; j < 8; ++j) {
      std::uint32_t word = 0;
      std::memcpy(&word, block.signs_and_scales + 4 * j, sizeof word);
      const float step = d * (0.5F + static_cast<float>(word >> 28)) * 0.5F;
      for (int l = 0; l < 8; ++l, target += 4) {
        const unsigned signs = signs_of_code(word >> (l / 2 * 7)) >> (l % 2 * 4);
        decode_iq3_point(kGridIq3Xxs[block.qs[8 * j + l]], kLevelsIq3Xxs, signs, step, target);
      }
    }
  }
}

}  // namespace

const BlockFormat kIq3Xxs{.name = "iq3_xxs",
                          .ggml_id = 18,
                          .block_values = kValues,
                          .block_bytes = sizeof(BlockIq3Xxs),
                          .input = kQ8KInput,
                          .decode = decode,
                          .encode = encode_with<&BlockEncoders::iq3_xxs>,
                          .error_bound = 0.185,
                          .fallback = "iq4_nl"};

}  // namespace quantlane
