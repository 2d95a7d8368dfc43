#include "formats/blocks/nvfp4.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "core/half.h"
#include "formats/block_format.h"
#include "formats/blocks/encode_with.h"
#include "formats/fp4_and_nl_codes.h"
#include "formats/ggml_inputs.h"

namespace quantlane {
namespace {

constexpr int kValues = 64;

// Half of the unsigned E4M3 value, as the codes are counted in halves; NaN (0x7F) reads as 0.
float half_of_ue4m3(std::uint8_t code) { return code >= 0x7F ? 0.0F : e4m3_to_f32(code) * 0.5F; }

void decode(const std::byte* blocks, std::int64_t block_count, float* values) {
  for (std::int64_t b = 0; b < block_count; ++b) {
    BlockNvfp4 block;
    std::memcpy(&block, blocks + b * std::int64_t{sizeof block}, sizeof block);
    float* target = values + b * kValues;
    for (int j = 0; j < 4; ++j) {
      const float step = half_of_ue4m3(block.d[j]);
      for (int l = 0; l < 8; ++l) {
        target[16 * j + l] = kFp4Values[block.qs[8 * j + l] & 15] * step;
        target[16 * j + l + 8] = kFp4Values[block.qs[8 * j + l] >> 4] * step;
      }
    }
  }
}

// Scales are E4M3 without a sign; 0x7F is its NaN.
bool valid(const std::byte* block) {
  return std::all_of(block + offsetof(BlockNvfp4, d), block + offsetof(BlockNvfp4, d) + 4,
                     [](std::byte scale) { return scale < std::byte{0x7F}; });
}

}  // namespace

const BlockFormat kNvfp4{.name = "nvfp4",
                         .ggml_id = 40,
                         .block_values = kValues,
                         .block_bytes = sizeof(BlockNvfp4),
                         .input = kQ8_0Input,
                         .decode = decode,
                         .encode = encode_with<&BlockEncoders::nvfp4>,
                         .error_bound = 0.0895,
                         .fallback = "",
                         .largest = 448 * 6,
                         .takes_factor = true,
                         .valid = valid};

}  // namespace quantlane
