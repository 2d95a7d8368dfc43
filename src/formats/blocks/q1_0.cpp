#include "formats/blocks/q1_0.h"

#include <cstring>

#include "core/half.h"
#include "formats/block_format.h"
#include "formats/blocks/encode_with.h"
#include "formats/ggml_inputs.h"

namespace quantlane {
namespace {

constexpr int kValues = 128;

void decode(const std::byte* blocks, std::int64_t block_count, float* values) {
  for (std::int64_t b = 0; b < block_count; ++b) {
    BlockQ1_0 block;
    std::memcpy(&block, blocks + b * std::int64_t{sizeof block}, sizeof block);
    float* target = values + b * kValues;
    const float d = f16_to_f32(block.d);
    for (int i = 0; i < kValues; ++i) {
      target[i] = (block.qs[i / 8] >> (i % 8) & 1) != 0 ? d : -d;
    }
  }
}

}  // namespace

const BlockFormat kQ1_0{.name = "q1_0",
                        .ggml_id = 41,
                        .block_values = kValues,
                        .block_bytes = sizeof(BlockQ1_0),
                        .input = kQ8_0Input,
                        .decode = decode,
                        .encode = encode_with<&BlockEncoders::q1_0>,
                        .error_bound = 0.61,
                        .fallback = ""};

}  // namespace quantlane
