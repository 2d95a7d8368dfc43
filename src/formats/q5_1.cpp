#include "formats/q5_1.h"

#include <cstring>

#include "core/half.h"
#include "formats/block_encoders.h"
#include "formats/block_format.h"
#include "formats/fifth_bits.h"
#include "formats/ggml_inputs.h"

namespace quantlane {
namespace {

constexpr int kValues = 32;

void decode(const std::byte* blocks, std::int64_t block_count, float* values) {
  for (std::int64_t b = 0; b < block_count; ++b) {
    BlockQ5_1 block;
    std::memcpy(&block, blocks + b * std::int64_t{sizeof block}, sizeof block);
    const float d = f16_to_f32(block.d);
    const float m = f16_to_f32(block.m);
    int codes[kValues];
    unpack_five_bits(block.qh, block.qs, codes);
    for (int i = 0; i < kValues; ++i) {
      values[b * kValues + i] = static_cast<float>(codes[i]) * d + m;
    }
  }
}

void encode(std::span<const float> values, std::span<const float> importance, std::byte* blocks) {
  block_encoders().q5_1(values.data(), importance.empty() ? nullptr : importance.data(),
                        static_cast<std::int64_t>(values.size()), blocks);
}

}  // namespace

const BlockFormat kQ5_1{.name = "q5_1",
                        .ggml_id = 7,
                        .block_values = kValues,
                        .block_bytes = sizeof(BlockQ5_1),
                        .input = kQ8_1Input,
                        .decode = decode,
                        .encode = encode,
                        .error_bound = 0.036,
                        .fallback = ""};

}  // namespace quantlane
