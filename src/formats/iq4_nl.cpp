#include "formats/iq4_nl.h"

#include <cstring>

#include "core/half.h"
#include "formats/block_encoders.h"
#include "formats/block_format.h"
#include "formats/fp4_and_nl_codes.h"
#include "formats/ggml_inputs.h"

namespace quantlane {
namespace {

constexpr int kValues = 32;

void decode(const std::byte* blocks, std::int64_t block_count, float* values) {
  for (std::int64_t b = 0; b < block_count; ++b) {
    BlockIq4Nl block;
    std::memcpy(&block, blocks + b * std::int64_t{sizeof block}, sizeof block);
    float* target = values + b * kValues;
    const float d = f16_to_f32(block.d);
    for (int j = 0; j < 16; ++j) {
      target[j] = d * kNonLinearValues[block.qs[j] & 15];
      target[j + 16] = d * kNonLinearValues[block.qs[j] >> 4];
    }
  }
}

void encode(std::span<const float> values, std::span<const float> importance, std::byte* blocks) {
  block_encoders().iq4_nl(values.data(), importance.empty() ? nullptr : importance.data(),
                          static_cast<std::int64_t>(values.size()), blocks);
}

}  // namespace

const BlockFormat kIq4Nl{.name = "iq4_nl",
                         .ggml_id = 20,
                         .block_values = kValues,
                         .block_bytes = sizeof(BlockIq4Nl),
                         .input = kQ8_0Input,
                         .decode = decode,
                         .encode = encode,
                         .error_bound = 0.078,
                         .fallback = ""};

}  // namespace quantlane
