#include "formats/blocks/tq1_0.h"

#include <cstring>

#include "core/half.h"
#include "formats/block_format.h"
#include "formats/blocks/encode_with.h"
#include "formats/ggml_inputs.h"

namespace quantlane {
namespace {

constexpr int kValues = 256;

// Trit n of each byte, for n = 0 .. trits - 1; returns the end of what was written.
float* unpack_trits(const std::uint8_t* bytes, int count, int trits, float d, float* target) {
  int power = 1;
  for (int n = 0; n < trits; ++n) {
    for (int m = 0; m < count; ++m) {
      const int trit = (bytes[m] * power % 256) * 3 >> 8;
      *target++ = static_cast<float>(trit - 1) * d;
    }
    power *= 3;
  }
  return target;
}

void decode(const std::byte* blocks, std::int64_t block_count, float* values) {
  for (std::int64_t b = 0; b < block_count; ++b) {
    BlockTq1_0 block;
    std::memcpy(&block, blocks + b * std::int64_t{sizeof block}, sizeof block);
    float* target = values + b * kValues;
    const float d = f16_to_f32(block.d);
    float* next = unpack_trits(block.qs, 32, 5, d, target);
    next = unpack_trits(block.qs + 32, 16, 5, d, next);
    unpack_trits(block.qh, 4, 4, d, next);
  }
}

}  // namespace

const BlockFormat kTq1_0{.name = "tq1_0",
                         .ggml_id = 34,
                         .block_values = kValues,
                         .block_bytes = sizeof(BlockTq1_0),
                         .input = kQ8KInput,
                         .decode = decode,
                         .encode = encode_with<&BlockEncoders::tq1_0>,
                         .error_bound = 0.445,
                         .fallback = "q4_0"};

}  // namespace quantlane
