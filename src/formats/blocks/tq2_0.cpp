#include "formats/blocks/tq2_0.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "core/half.h"
#include "formats/block_format.h"
#include "formats/blocks/encode_with.h"
#include "formats/ggml_inputs.h"

namespace quantlane {
namespace {

constexpr int kValues = 256;

void decode(const std::byte* blocks, std::int64_t block_count, float* values) {
  for (std::int64_t b = 0; b < block_count; ++b) {
    BlockTq2_0 block;
    std::memcpy(&block, blocks + b * std::int64_t{sizeof block}, sizeof block);
    float* target = values + b * kValues;
    const float d = f16_to_f32(block.d);
    for (int i = 0; i < kValues; ++i) {
      const int code = block.qs[32 * (i / 128) + i % 32] >> (2 * (i % 128 / 32)) & 3;
      target[i] = static_cast<float>(code - 1) * d;
    }
  }
}

// No code is 3.
bool valid(const std::byte* block) {
  const std::byte* codes = block + offsetof(BlockTq2_0, qs);
  return std::none_of(codes, codes + sizeof(BlockTq2_0::qs), [](std::byte four) {
    return (four & (four >> 1) & std::byte{0x55}) != std::byte{0};
  });
}

}  // namespace

const BlockFormat kTq2_0{.name = "tq2_0",
                         .ggml_id = 35,
                         .block_values = kValues,
                         .block_bytes = sizeof(BlockTq2_0),
                         .input = kQ8KInput,
                         .decode = decode,
                         .encode = encode_with<&BlockEncoders::tq2_0>,
                         .error_bound = 0.445,
                         .fallback = "q4_0",
                         .valid = valid};

}  // namespace quantlane
