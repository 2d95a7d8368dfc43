// round_activations: what an engine does to the input of a quantized product.
#include <algorithm>

#include "core/check.h"
#include "core/half.h"
#include "formats/group_format.h"

namespace quantlane {
namespace {

void round_row(const ActivationScheme& scheme, float scale, float* row, std::int64_t count) {
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

}  // namespace

void round_activations(const ActivationScheme& scheme, float* values, std::int64_t tokens,
                       std::int64_t cols) {
  QUANTLANE_CHECK(scheme.type == ValueType::kFloat ? scheme.bits == 8
                                                   : scheme.bits >= 2 && scheme.bits <= 8);
  QUANTLANE_CHECK(scheme.dynamic ? scheme.granularity == Granularity::kToken
                                 : scheme.static_scale > 0);
  const float divisor =
      scheme.type == ValueType::kFloat ? 448.0F : static_cast<float>((1 << scheme.bits) - 1) / 2.0F;
  for (std::int64_t t = 0; t < tokens; ++t) {
    float* row = values + t * cols;
    float scale = scheme.static_scale;
    if (scheme.dynamic) {
      float largest = 0;
      for (std::int64_t i = 0; i < cols; ++i) largest = std::max(largest, std::abs(row[i]));
      scale = largest / divisor;
      // A row of zeros, or of numbers so small that their scale vanishes, has nothing to round.
      if (!(scale > 0)) {
        std::fill(row, row + cols, 0.0F);
        continue;
      }
    }
    round_row(scheme, scale, row, cols);
  }
}

}  // namespace quantlane
