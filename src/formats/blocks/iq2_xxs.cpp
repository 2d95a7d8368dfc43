#include "formats/blocks/iq2_xxs.h"

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
    BlockIq2Xxs block;
    std::memcpy(&block, blocks + b * std::int64_t{sizeof block}, sizeof block);
    float* target = values + b * kValues;
    const float d = f16_to_f32(block.d);
    for (int j = 0; j < 8; ++j) {
      std::uint32_t word = 0;
      std::memcpy(&word, block.qs + 8 * j + 4, sizeof word);
      const float step = d * (0.5F + static_cast<float>(word >> 28)) * 0.25F;
      for (int l = 0; l < 4; ++l, target += 8) {
        decode_iq2_point(kGridIq2Xxs[block.qs[8 * j + l]], signs_of_code(word >> (7 * l)), step,
                         target);
      }
    }
  }
}

}  // namespace

const BlockFormat kIq2Xxs{.name = "iq2_xxs",
                          .ggml_id = 16,
                          .block_values = kValues,
                          .block_bytes = sizeof(BlockIq2Xxs),
                          .input = kQ8KInput,
                          .decode = decode,
                          .encode = encode_with<&BlockEncoders::iq2_xxs>,
                          .error_bound = 0.341,
                          .fallback = "iq4_nl"};

}  // namespace quantlane
