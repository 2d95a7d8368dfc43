#include "formats/blocks/q2_0.h"

#include <cstring>

#include "core/half.h"
#include "formats/block_format.h"
#include "formats/blocks/encode_with.h"
#include "formats/ggml_inputs.h"

namespace quantlane {
namespace {

constexpr int kValues = 64;

void decode(const std::byte* blocks, std::int64_t block_count, float* values) {
  for (std::int64_t b = 0; b < block_count; ++b) {
    BlockQ2_0 block;
    std::memcpy(&block, blocks + b * std::int64_t{sizeof block}, sizeof block);
    float* target = values + b * kValues;
    const float d = f16_to_f32(block.d);
    for (int i = 0; i < kValues; ++i) {
      const int code = block.qs[i / 4] >> (2 * (i % 4)) & 3;
      target[i] = static_cast<float>(code - 1) * d;
    }
  }
}

}  // namespace

const BlockFormat kQ2_0{.name = "q2_0",
                        .ggml_id = 42,
                        .block_values = kValues,
                        .block_bytes = sizeof(BlockQ2_0),
                        .input = kQ8_0Input,
                        .decode = decode,
                        .encode = encode_with<&BlockEncoders::q2_0>,
                        .error_bound = 0.36,
                        .fallback = "q4_0"};

}  // namespace quantlane
