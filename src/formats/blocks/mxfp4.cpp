#include "formats/blocks/mxfp4.h"

#include <cstring>
#include <limits>

#include "core/half.h"
#include "formats/block_format.h"
#include "formats/blocks/encode_with.h"
#include "formats/fp4_and_nl_codes.h"
#include "formats/ggml_inputs.h"

namespace quantlane {
namespace {

constexpr int kValues = 32;

// 2^(e - 128): half of the E8M0 value, as the codes are counted in halves.
float half_of_e8m0(std::uint8_t e) {
  const std::uint32_t bits = e < 2 ? 0x00200000U << e : static_cast<std::uint32_t>(e - 1) << 23;
  return std::bit_cast<float>(bits);
}

void decode(const std::byte* blocks, std::int64_t block_count, float* values) {
  for (std::int64_t b = 0; b < block_count; ++b) {
    BlockMxfp4 block;
    std::memcpy(&block, blocks + b * std::int64_t{sizeof block}, sizeof block);
    float* target = values + b * kValues;
    const float step = half_of_e8m0(block.e);
    for (int j = 0; j < 16; ++j) {
      target[j] = kFp4Values[block.qs[j] & 15] * step;
      target[j + 16] = kFp4Values[block.qs[j] >> 4] * step;
    }
  }
}

}  // namespace

const BlockFormat kMxfp4{.name = "mxfp4",
                         .ggml_id = 39,
                         .block_values = kValues,
                         .block_bytes = sizeof(BlockMxfp4),
                         .input = kQ8_0Input,
                         .decode = decode,
                         .encode = encode_with<&BlockEncoders::mxfp4>,
                         .error_bound = 0.12,
                         .fallback = "",
                         .largest = std::numeric_limits<float>::infinity()};

}  // namespace quantlane
