// What every block encoder does before its search: brings the values of a block to the range of 1,
// so that squares neither overflow nor vanish, and chooses the weight of each value's error.
// Internal linkage for the reason given in lanes.h.
#pragma once
#include "formats/lanes.h"

namespace quantlane {
namespace {

inline float float_of_bits(unsigned bits) {
  float value = 0;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}
inline unsigned bits_of_float(float value) {
  unsigned bits = 0;
  __builtin_memcpy(&bits, &value, sizeof bits);
  return bits;
}

// binary16 of |value| < 65520, half to even; larger values and infinities give the largest finite
// one, so that no scale is ever infinite.
inline unsigned short finite_f16_bits(float value) {
  const unsigned bits = bits_of_float(value);
  const unsigned sign = (bits >> 16) & 0x8000U;
  const unsigned magnitude = bits & 0x7FFFFFFFU;
  if (magnitude >= 0x477FE000U) return static_cast<unsigned short>(sign | 0x7BFFU);
  if (magnitude < 0x38800000U) {  // below 2^-14: adding 0.5 rounds at 2^-24
    const unsigned shifted = bits_of_float(float_of_bits(magnitude) + 0.5F);
    return static_cast<unsigned short>(sign | (shifted - 0x3F000000U));
  }
  const unsigned rounded = magnitude + 0xFFFU + ((magnitude >> 13) & 1U);
  return static_cast<unsigned short>(sign | ((rounded - 0x38000000U) >> 13));
}
inline float f16_value(unsigned short half) {
  const unsigned sign = (half & 0x8000U) << 16;
  const unsigned exponent = (half >> 10) & 0x1FU;
  const unsigned mantissa = half & 0x3FFU;
  if (exponent != 0) return float_of_bits(sign | ((exponent + 112) << 23) | (mantissa << 13));
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24F;
  return sign != 0 ? -magnitude : magnitude;
}

// Values below this round to zero in every format whose scale is binary16: its smallest step is
// 2^-24.
constexpr float kSmallestMagnitude = 0x1p-25F;

// The power of two at or below `magnitude`, kept where it and its inverse are normal numbers.
inline float power_of_two_below(float magnitude) {
  unsigned exponent = bits_of_float(magnitude) >> 23;
  exponent = exponent < 1 ? 1 : exponent;
  exponent = exponent > 253 ? 253 : exponent;
  return float_of_bits(exponent << 23);
}
inline float inverse_power_of_two(float power) {
  return float_of_bits((254U << 23) - bits_of_float(power));
}

// Importance brought to the range of 1 (a common factor does not matter), or ones where it is null
// or all zero; returns whether there was any.
inline bool importance_weights(const float* importance, int count, float* w) {
  const float largest = importance == nullptr ? 0.0F : largest_magnitude(importance, count);
  if (!(largest > 0)) {
    for (int i = 0; i < count; ++i) w[i] = 1.0F;
    return false;
  }
  const float inverse = inverse_power_of_two(power_of_two_below(largest));
  for (int i = 0; i < count; ++i) w[i] = importance[i] * inverse;
  return true;
}

// THE place that says what the block encoders minimise: sum w (decoded - x)^2 with w = importance,
// or, without importance, w = sqrt(mean x^2 + x^2) (low_bit_encoders.h: 1). llama.cpp multiplies
// importance by such a root too. Why not here: docs/measurements/encoder-weights.md.
inline void block_weights(const float* x, const float* importance, int count, float* w) {
  if (importance_weights(importance, count, w)) return;
  const float mean_square = weighted_sums(x, x, count).moment / static_cast<float>(count);
  for (int i = 0; i < count; ++i) w[i] = __builtin_sqrtf(mean_square + x[i] * x[i]);
}

// x = values / unit, w = weights; returns the unit (a power of two, exact both ways), or 0 where
// all values are below kSmallestMagnitude. `importance` may be null.
inline float prepare_block(const float* values, const float* importance, int count, float* x,
                           float* w) {
  const float largest = largest_magnitude(values, count);
  if (!(largest >= kSmallestMagnitude)) return 0.0F;
  const float unit = power_of_two_below(largest);
  const float inverse = inverse_power_of_two(unit);
  for (int i = 0; i < count; ++i) x[i] = values[i] * inverse;
  block_weights(x, importance, count, w);
  return unit;
}

// `scale` (in units) as binary16 can store scale * unit, again in units.
inline float round_scale(float scale, float unit) {
  return f16_value(finite_f16_bits(scale * unit)) * inverse_power_of_two(unit);
}

// The f16 scale above `scale` (in units) where rounding to nearest would fall below it: among the
// subnormals that could cost several percent of the range.
inline float round_scale_up(float scale, float unit) {
  const unsigned short bits = finite_f16_bits(scale * unit);
  const bool below = f16_value(bits) < scale * unit && bits < 0x7BFF;
  return f16_value(static_cast<unsigned short>(bits + (below ? 1 : 0))) *
         inverse_power_of_two(unit);
}

template <class Block>
inline void store_block(const Block& block, long long index, void* blocks) {
  __builtin_memcpy(static_cast<char*>(blocks) + index * static_cast<long long>(sizeof block),
                   &block, sizeof block);
}

}  // namespace
}  // namespace quantlane
