// round_activations: what an engine does to the input of a quantized product.
#include <algorithm>

#include "core/check.h"
#include "core/half.h"
#include "formats/group_format.h"
#include "formats/scale_storage.h"

namespace quantlane {
namespace {

void round_row(const ActivationScheme& scheme, float scale, float* row, std::int64_t count) {
  if (scheme.type == ValueType::kFloat && scheme.bits == 4) {
    for (std::int64_t i = 0; i < count; ++i) {
      row[i] = e2m1_to_f32(f32_to_e2m1(row[i] / scale)) * scale;
    }
    return;
  }
  if (scheme.type == ValueType::kFloat) {
    for (std::int64_t i = 0; i < count; ++i) {
      row[i] = e4m3_to_f32(f32_to_e4m3(row[i] / scale)) * scale;
    }
    return;
  }
  const auto levels = static_cast<float>(1 << scheme.bits);
  const float low = -levels / 2;
  const float high = levels / 2 - 1;
  for (std::int64_t i = 0; i < count; ++i) {
    row[i] = round_half_even(std::clamp(row[i] / scale, low, high)) * scale;
  }
}

// Integers from a zero point on, as compressed-tensors has them (0.20:
// quantization/utils/helpers.py, calculate_qparams; quantization/lifecycle/forward_helpers.py,
// _quantize_dequantize): the range of a token holds zero, and zero points are rounded to a code.
// (vLLM's kernel, csrc/quantization/ w8a8/int8/scaled_quant.cu, leaves zero out of the range: that
// differs where all values of a token have one sign.)
void round_asymmetric(const ActivationScheme& scheme, float* row, std::int64_t count) {
  const auto levels = static_cast<float>(1 << scheme.bits);
  const float low = -levels / 2;
  const float high = levels / 2 - 1;
  float scale = scheme.static_scale;
  float zero = scheme.static_zero;
  if (scheme.dynamic) {
    float least = 0;
    float largest = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      least = std::min(least, row[i]);
      largest = std::max(largest, row[i]);
    }
    scale = (largest - least) / (levels - 1);
    // The library's scale is then so large that all become zero.
    if (!(scale > 0)) return std::fill_n(row, count, 0.0F), void();
    zero = round_half_even(std::clamp(low - least / scale, low, high));
  }
  for (std::int64_t i = 0; i < count; ++i) {
    row[i] = (round_half_even(std::clamp(row[i] / scale + zero, low, high)) - zero) * scale;
  }
}

// ggml's blocks of eight bits. Where 127 / largest overflows, all codes are zero.
void round_ggml(DType scale_dtype, float largest, float* row, std::int64_t count) {
  const float inverse = 127.0F / largest;
  const float scale =
      scale_dtype == DType::kF16 ? f16_to_f32(f32_to_f16(largest / 127.0F)) : 1.0F / inverse;
  if (!(largest > 0) || std::isinf(inverse)) return std::fill_n(row, count, 0.0F), void();
  for (std::int64_t i = 0; i < count; ++i) row[i] = round_half_even(row[i] * inverse) * scale;
}

void round_plain(DType type, float* values, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    values[i] = type == DType::kF16 ? f16_to_f32(f32_to_f16(values[i]))
                                    : bf16_to_f32(f32_to_bf16(values[i]));
  }
}

float largest_code(const ActivationScheme& scheme) {
  if (scheme.type == ValueType::kInt) return static_cast<float>((1 << scheme.bits) - 1) / 2.0F;
  return scheme.bits == 4 ? 6.0F : 448.0F;
}

// The scale of values whose largest magnitude is `largest`, or 0 where there is nothing to round:
// zeros, or numbers so small that their scale vanishes.
float dynamic_scale(const ActivationScheme& scheme, float largest) {
  if (!(largest > 0)) return 0;
  if (scheme.scale_dtype == DType::kF8E8M0) {
    return shared_power_of_two(largest, scheme.bits == 4 ? 2 : 8);
  }
  const float scale = largest / largest_code(scheme);
  if (scheme.scale_dtype != DType::kF8E4M3) return scale;
  const bool divides = scheme.tensor_scale == TensorScale::kDivides;
  const float divisor = divides ? scheme.static_scale : 1 / scheme.static_scale;
  const float stored = e4m3_to_f32(f32_to_e4m3(divisor * scale));
  // compressed-tensors stores 0.125 for what is too small.
  return (stored > 0 ? stored : 0.125F) / divisor;
}

}  // namespace

void round_activations(const ActivationScheme& scheme, float* values, std::int64_t tokens,
                       std::int64_t cols) {
  if (scheme.plain != DType::kF32) return round_plain(scheme.plain, values, tokens * cols);
  QUANTLANE_CHECK(scheme.type == ValueType::kFloat ? scheme.bits == 8 || scheme.bits == 4
                                                   : scheme.bits >= 2 && scheme.bits <= 8);
  QUANTLANE_CHECK(scheme.granularity != Granularity::kGroup || scheme.group_size > 0);
  QUANTLANE_CHECK(!scheme.calibrated() || scheme.static_scale > 0);
  QUANTLANE_CHECK(scheme.symmetric || (scheme.type == ValueType::kInt && !scheme.ggml_codes &&
                                       scheme.granularity != Granularity::kGroup));
  QUANTLANE_CHECK((scheme.scale_dtype == DType::kF8E4M3) ==
                  (scheme.tensor_scale != TensorScale::kNone));
  const std::int64_t length = scheme.granularity == Granularity::kGroup
                                  ? std::min<std::int64_t>(scheme.group_size, cols)
                                  : cols;
  for (std::int64_t t = 0; t < tokens; ++t) {
    if (!scheme.symmetric) {
      round_asymmetric(scheme, values + t * cols, cols);
      continue;
    }
    for (std::int64_t c = 0; c < cols; c += length) {
      float* group = values + t * cols + c;
      const std::int64_t count = std::min(length, cols - c);
      float scale = scheme.static_scale;
      if (scheme.dynamic) {
        float largest = 0;
        for (std::int64_t i = 0; i < count; ++i) largest = std::max(largest, std::abs(group[i]));
        if (scheme.ggml_codes) {
          round_ggml(scheme.scale_dtype, largest, group, count);
          continue;
        }
        scale = dynamic_scale(scheme, largest);
      }
      if (scale > 0) {
        round_row(scheme, scale, group, count);
      } else {
        std::fill(group, group + count, 0.0F);
      }
    }
  }
}

}  // namespace quantlane
