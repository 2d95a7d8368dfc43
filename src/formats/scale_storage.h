// How a positive scale is stored beside the codes.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/half.h"
#include "tensor/dtype.h"

namespace quantlane {

// Smallest scale that is ever stored: 2^-24 (binary16), 2^-9 (E4M3) or 2^-126, so that a group of
// zeros has a valid scale and no engine divides by zero.
[[nodiscard]] inline float smallest_scale(DType dtype) {
  return dtype == DType::kF16 ? 0x1p-24F : dtype == DType::kF8E4M3 ? 0x1p-9F : 0x1p-126F;
}

// `scale` >= 0 (or infinite) as `dtype` (kBF16, kF16, kF32, kF8E4M3, kF8E8M0) holds it, half to
// even (E8M0: the power of two at or below); never 0, never infinite.
[[nodiscard]] inline float storable_scale(float scale, DType dtype) {
  const float smallest = smallest_scale(dtype);
  if (!(scale > smallest)) return smallest;
  if (dtype == DType::kF16) return scale >= 65504.0F ? 65504.0F : f16_to_f32(f32_to_f16(scale));
  if (dtype == DType::kF8E4M3) return e4m3_to_f32(f32_to_e4m3(scale));
  if (dtype == DType::kF8E8M0) {
    return e8m0_to_f32(std::min<std::uint8_t>(f32_to_e8m0(scale), 0xFE));
  }
  if (dtype == DType::kF32) {
    return scale > std::numeric_limits<float>::max() ? std::numeric_limits<float>::max() : scale;
  }
  constexpr float kLargestBf16 = 0x1.FEp127F;
  return scale >= kLargestBf16 ? kLargestBf16 : bf16_to_f32(f32_to_bf16(scale));
}

// Does `dtype` hold `scale`, read from a file, exactly? Zero and, where there is a sign to write
// (AutoRound folds the sign of a group into its scale), negative ones too; never NaN or infinity.
[[nodiscard]] inline bool holds_scale(float scale, DType dtype) {
  if (!std::isfinite(scale)) return false;
  switch (dtype) {
    case DType::kF32:
      return true;
    case DType::kF16:
      return f16_to_f32(f32_to_f16(scale)) == scale;
    case DType::kBF16:
      return bf16_to_f32(f32_to_bf16(scale)) == scale;
    case DType::kF8E4M3:  // units read it as UE4M3
      return scale >= 0 && e4m3_to_f32(f32_to_e4m3(scale)) == scale;
    default:
      return storable_scale(scale, dtype) == scale;
  }
}

// The shared power of two of compressed-tensors (quantization/utils/mxfp_utils.py, 0.20) for codes
// up to 1.x * 2^`largest_exponent`: the exponent of `largest`, one more from a mantissa of 1.75 on,
// less `largest_exponent`; at least 2^-126.
[[nodiscard]] inline float shared_power_of_two(float largest, int largest_exponent) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(largest) + (1U << 21U);
  const int exponent = static_cast<int>(bits >> 23U) - largest_exponent;
  return e8m0_to_f32(static_cast<std::uint8_t>(std::clamp(exponent, 1, 0xFE)));
}

}  // namespace quantlane
