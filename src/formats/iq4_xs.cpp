#include "formats/iq4_xs.h"

#include <cstring>

#include "core/half.h"
#include "formats/block_encoders.h"
#include "formats/block_format.h"
#include "formats/fp4_and_nl_codes.h"
#include "formats/ggml_inputs.h"

namespace quantlane {
namespace {

constexpr int kValues = 256;

void decode(const std::byte* blocks, std::int64_t block_count, float* values) {
  for (std::int64_t b = 0; b < block_count; ++b) {
    BlockIq4Xs block;
    std::memcpy(&block, blocks + b * std::int64_t{sizeof block}, sizeof block);
    float* target = values + b * kValues;
    const float d = f16_to_f32(block.d);
    for (int j = 0; j < 8; ++j) {
      const int low = block.scales_l[j / 2] >> (4 * (j % 2)) & 15;
      const int scale = low | (block.scales_h >> (2 * j) & 3) << 4;
      const float step = d * static_cast<float>(scale - 32);
      for (int l = 0; l < 16; ++l) {
        target[32 * j + l] = step * kNonLinearValues[block.qs[16 * j + l] & 15];
        target[32 * j + l + 16] = step * kNonLinearValues[block.qs[16 * j + l] >> 4];
      }
    }
  }
}

void encode(std::span<const float> values, std::span<const float> importance, std::byte* blocks) {
  block_encoders().iq4_xs(values.data(), importance.empty() ? nullptr : importance.data(),
                          static_cast<std::int64_t>(values.size()), blocks);
}

}  // namespace

const BlockFormat kIq4Xs{.name = "iq4_xs",
                         .ggml_id = 23,
                         .block_values = kValues,
                         .block_bytes = sizeof(BlockIq4Xs),
                         .input = kQ8KInput,
                         .decode = decode,
                         .encode = encode,
                         .error_bound = 0.078,
                         .fallback = "iq4_nl"};

}  // namespace quantlane
