// Scalar conversions between float32 and the small floats: the specification that kernels must
// match. All round to nearest, ties to even, unless stated.
#pragma once
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace quantlane {

[[nodiscard]] constexpr float bf16_to_f32(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}
// NaN stays NaN (quiet bit set).
[[nodiscard]] constexpr std::uint16_t f32_to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return static_cast<std::uint16_t>((bits >> 16) | 0x40U);
  return static_cast<std::uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}

// IEEE binary16, subnormals included.
// Branch-free, so loops over it vectorise: the exponent is rebased by an exact product.
[[nodiscard]] constexpr float f16_to_f32(std::uint16_t half) {
  const std::uint32_t sign = (half & 0x8000U) << 16;
  const std::uint32_t magnitude = half & 0x7FFFU;
  const auto finite =
      std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude << 13) * 0x1p112F);
  const std::uint32_t special = 0x7F800000U | (magnitude << 13);
  return std::bit_cast<float>(sign | (magnitude >= 0x7C00U ? special : finite));
}
// Values beyond 65504 (after rounding) become infinity.
[[nodiscard]] constexpr std::uint16_t f32_to_f16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000U);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U)
    return static_cast<std::uint16_t>(sign | 0x7E00U | ((magnitude >> 13) & 0x3FFU));
  if (magnitude >= 0x477FF000U) return static_cast<std::uint16_t>(sign | 0x7C00U);
  if (magnitude < 0x38800000U) {  // below 2^-14: a subnormal or zero; adding 0.5 rounds at 2^-24
    const float shifted = std::bit_cast<float>(magnitude) + 0.5F;
    return static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3F000000U));
  }
  const std::uint32_t rounded = magnitude + 0xFFFU + ((magnitude >> 13) & 1U);
  return static_cast<std::uint16_t>(sign | ((rounded - 0x38000000U) >> 13));
}

// OCP E4M3 (no infinity, 0x7F/0xFF = NaN, largest 448): OCP 8-bit floating point specification
// v1.0.
[[nodiscard]] constexpr float e4m3_to_f32(std::uint8_t code) {
  const std::uint32_t sign = (code & 0x80U) << 24;
  const std::uint32_t exponent = (code >> 3) & 0xFU;
  const std::uint32_t mantissa = code & 0x7U;
  if (exponent == 0xF && mantissa == 0x7) return std::numeric_limits<float>::quiet_NaN();
  if (exponent != 0)
    return std::bit_cast<float>(sign | ((exponent + 120) << 23) | (mantissa << 20));
  const float magnitude = static_cast<float>(mantissa) * 0x1p-9F;
  return sign != 0 ? -magnitude : magnitude;
}
// Saturates at ±448 (the clamp of compressed-tensors before its cast); NaN gives 0x7F.
[[nodiscard]] constexpr std::uint8_t f32_to_e4m3(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint8_t>((bits >> 24) & 0x80U);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return 0x7F;
  if (magnitude >= 0x43E00000U) return static_cast<std::uint8_t>(sign | 0x7EU);  // >= 448
  if (magnitude < 0x3C800000U) {  // below 2^-6: a subnormal; adding 2^14 rounds at 2^-9
    const float shifted = std::bit_cast<float>(magnitude) + 0x1p14F;
    return static_cast<std::uint8_t>(sign | (std::bit_cast<std::uint32_t>(shifted) & 0xFU));
  }
  const std::uint32_t rounded = magnitude + 0x7FFFFU + ((magnitude >> 20) & 1U);
  const std::uint32_t code = (rounded - (120U << 23)) >> 20;
  return static_cast<std::uint8_t>(sign | (code > 0x7EU ? 0x7EU : code));
}

// OCP E2M1 (FP4: sign, 2 exponent bits, 1 mantissa bit, largest 6) in the low four bits of `code`.
[[nodiscard]] constexpr float e2m1_to_f32(std::uint8_t code) {
  constexpr float kMagnitudes[8] = {0.0F, 0.5F, 1.0F, 1.5F, 2.0F, 3.0F, 4.0F, 6.0F};
  const float magnitude = kMagnitudes[code & 7U];
  return (code & 8U) != 0 ? -magnitude : magnitude;
}
// Half to even, saturating at 6; what rounds to zero keeps its sign, NaN gives 0.
[[nodiscard]] constexpr std::uint8_t f32_to_e2m1(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const float magnitude = std::bit_cast<float>(bits & 0x7FFFFFFFU);
  // Halfway points; the code above one of them is even where the point itself belongs to it.
  const int code = (magnitude > 0.25F ? 1 : 0) + (magnitude >= 0.75F ? 1 : 0) +
                   (magnitude > 1.25F ? 1 : 0) + (magnitude >= 1.75F ? 1 : 0) +
                   (magnitude > 2.5F ? 1 : 0) + (magnitude >= 3.5F ? 1 : 0) +
                   (magnitude > 5.0F ? 1 : 0);
  return static_cast<std::uint8_t>((bits >> 28 & 8U) | static_cast<std::uint32_t>(code));
}

// OCP E8M0: 2^(code - 127); 0xFF is NaN.
[[nodiscard]] constexpr float e8m0_to_f32(std::uint8_t code) {
  if (code == 0xFF) return std::numeric_limits<float>::quiet_NaN();
  return std::bit_cast<float>(code == 0 ? 0x00400000U : static_cast<std::uint32_t>(code) << 23);
}
// The exponent of a positive normal value (its mantissa is dropped); 0 below 2^-126.
[[nodiscard]] constexpr std::uint8_t f32_to_e8m0(float value) {
  return static_cast<std::uint8_t>(std::bit_cast<std::uint32_t>(value) >> 23);
}

// Half-even rounding of a value with |value| < 2^22 to the nearest integer, independent of the
// rounding mode in force and of the math library.
[[nodiscard]] constexpr float round_half_even(float value) {
  constexpr float kMagic = 12582912.0F;  // 1.5 * 2^23
  return (value + kMagic) - kMagic;
}

}  // namespace quantlane
