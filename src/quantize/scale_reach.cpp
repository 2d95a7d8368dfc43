#include "quantize/scale_reach.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <fmt/format.h>

#include "formats/lanes.h"

namespace quantlane {
namespace {

constexpr float kLargestF16 = 65504.0F;
// Below, no product of a code and a scale overflows, and no scale of a tensor is clamped.
constexpr float kHarmless = 0x1p80F;

}  // namespace

Result<void> check_reach(const float* values, const QuantTensor& slice, std::int64_t first_row,
                         const std::string& name) {
  const bool half = slice.scheme.scale_dtype == DType::kF16;
  const float harmless = half ? kLargestF16 : kHarmless;
  const std::int64_t cols = slice.cols;
  if (largest_magnitude(values, static_cast<int>(slice.rows * cols)) <= harmless) return {};
  std::vector<float> decoded(static_cast<std::size_t>(cols));
  for (std::int64_t r = 0; r < slice.rows; ++r) {
    const float* row = values + r * cols;
    const float* top = std::max_element(row, row + cols,
                                        [](float a, float b) { return std::abs(a) < std::abs(b); });
    if (std::abs(*top) <= harmless) continue;
    slice.decode_rows(r, 1, decoded.data());
    const bool sound = std::ranges::all_of(decoded, [](float v) { return std::isfinite(v); });
    if (!half && sound &&
        std::abs(decoded[static_cast<std::size_t>(top - row)]) >= std::abs(*top) / 4)
      continue;
    return fail(
        unsupported("quantizing a weight")
            .of(name)
            .expects(half ? fmt::format("values up to {:g} (scales are f16)", kLargestF16)
                          : "values that the scales of the lane reach")
            .got(fmt::format("{:g} in row {}, column {}", *top, first_row + r, top - row))
            .advise("the checkpoint is broken, or keep this matrix: --tensor-type PATTERN=keep"));
  }
  return {};
}

}  // namespace quantlane
