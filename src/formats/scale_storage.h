// How a positive scale is stored beside the codes.
#pragma once
#include <limits>

#include "core/half.h"
#include "tensor/dtype.h"

namespace quantlane {

// Smallest scale that is ever stored: 2^-24 (binary16) or 2^-126, so that a group of zeros has a
// valid scale and no engine divides by zero.
[[nodiscard]] inline float smallest_scale(DType dtype) {
  return dtype == DType::kF16 ? 0x1p-24F : 0x1p-126F;
}

// `scale` >= 0 (or infinite) as `dtype` (kBF16, kF16, kF32) holds it, half to even; never 0, never
// infinite.
[[nodiscard]] inline float storable_scale(float scale, DType dtype) {
  const float smallest = smallest_scale(dtype);
  if (!(scale > smallest)) return smallest;
  if (dtype == DType::kF16) return scale >= 65504.0F ? 65504.0F : f16_to_f32(f32_to_f16(scale));
  if (dtype == DType::kF32) {
    return scale > std::numeric_limits<float>::max() ? std::numeric_limits<float>::max() : scale;
  }
  constexpr float kLargestBf16 = 0x1.FEp127F;
  return scale >= kLargestBf16 ? kLargestBf16 : bf16_to_f32(f32_to_bf16(scale));
}

}  // namespace quantlane
