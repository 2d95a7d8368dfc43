// The row encoders in plain loops: the scalar conversions of core/half.h.
#include <algorithm>

#include "core/half.h"
#include "kernels/encode/encode_kernels.h"

namespace quantlane::kernels {
namespace {

uint16_t largest_bf16(const uint16_t* bf16, int64_t cols) {
  uint16_t largest = 0;
  for (int64_t i = 0; i < cols; ++i) {
    largest = std::max(largest, static_cast<uint16_t>(bf16[i] & 0x7FFFU));
  }
  return largest;
}

void codes_int8(const uint16_t* bf16, int64_t cols, float scale, int8_t* codes) {
  for (int64_t i = 0; i < cols; ++i) {
    const float step = std::clamp(bf16_to_f32(bf16[i]) / scale, -128.0F, 127.0F);
    codes[i] = static_cast<int8_t>(static_cast<int>(round_half_even(step)));
  }
}

void codes_e4m3(const uint16_t* bf16, int64_t cols, float scale, int8_t* codes) {
  for (int64_t i = 0; i < cols; ++i) {
    codes[i] = static_cast<int8_t>(f32_to_e4m3(bf16_to_f32(bf16[i]) / scale));
  }
}

}  // namespace

const EncodeKernels kEncodeRef = {
    .largest_bf16 = largest_bf16,
    .codes_int8 = codes_int8,
    .codes_e4m3 = codes_e4m3,
};

}  // namespace quantlane::kernels
