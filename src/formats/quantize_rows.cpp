// quantize_rows: a matrix through a group format, row by row.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "core/check.h"
#include "formats/group_format.h"
#include "formats/scale_storage.h"

namespace quantlane {
namespace {

Result<const GroupFormat*> checked_format(const Scheme& scheme, std::int64_t rows,
                                          std::int64_t cols, std::span<const float> importance,
                                          float tensor_scale) {
  const std::string attempted = "quantizing a matrix to " + scheme.spelling();
  const GroupFormat* format = group_format_for(scheme);
  if (format == nullptr) {
    return fail(unsupported(attempted).got("no format that holds this scheme"));
  }
  if (rows < 0 || cols <= 0 || (rows > 0 && cols > INT64_MAX / 4 / rows)) {
    return fail(invalid(attempted)
                    .expects("rows >= 0, cols > 0")
                    .got(std::to_string(rows) + " x " + std::to_string(cols)));
  }
  if (scheme.granularity == Granularity::kGroup && cols % scheme.group_size != 0) {
    return fail(invalid(attempted)
                    .expects("columns divisible by the group size")
                    .got(std::to_string(cols) + " columns")
                    .advise("choose a group size that divides the row length"));
  }
  if (!importance.empty() && static_cast<std::int64_t>(importance.size()) != cols) {
    return fail(invalid(attempted)
                    .expects(std::to_string(cols) + " importance values")
                    .got(std::to_string(importance.size())));
  }
  const bool needs_tensor_scale =
      scheme.granularity == Granularity::kTensor || scheme.tensor_scale != TensorScale::kNone;
  if (needs_tensor_scale &&
      (!scheme.symmetric || !(tensor_scale > 0) || !std::isfinite(tensor_scale))) {
    return fail(invalid(attempted)
                    .expects("a symmetric scheme and a positive scale of the whole tensor")
                    .got("scale " + std::to_string(tensor_scale)));
  }
  return format;
}

Result<void> check_finite(const Scheme& scheme, std::span<const float> values, std::int64_t cols) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i])) continue;
    const auto index = static_cast<std::int64_t>(i);
    return fail(corrupt("quantizing a matrix to " + scheme.spelling())
                    .expects("finite weights")
                    .got(std::to_string(values[i]) + " at row " + std::to_string(index / cols) +
                         ", column " + std::to_string(index % cols)));
  }
  return {};
}

}  // namespace

FittedGroup fit_group(const GroupFormat& format, std::span<const float> values,
                      std::span<const float> importance, bool weighted, const Scheme& scheme,
                      float tensor_scale) {
  const auto fit = [&](std::span<const float> group) {
    return weighted ? format.fit_weighted(group, importance, scheme)
                    : format.fit_absmax(group, scheme);
  };
  if (scheme.tensor_scale == TensorScale::kNone) {
    const GroupParams params = fit(values);
    return {.stored = params.scale, .params = params};
  }
  // The scales of groups are chosen for the values as the tensor's scale leaves them.
  const bool divides = scheme.tensor_scale == TensorScale::kDivides;
  std::vector<float> scaled(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    scaled[i] = divides ? values[i] * tensor_scale : values[i] / tensor_scale;
  }
  const float stored = fit(scaled).scale;
  return {.stored = stored,
          .params = {.scale = divides ? stored / tensor_scale : stored * tensor_scale}};
}

float tensor_scale_for(const Scheme& scheme, float amax) {
  constexpr float kLargestE4M3 = 448.0F;
  constexpr float kLargestE2M1 = 6.0F;
  if (scheme.tensor_scale != TensorScale::kNone) {
    const float divisor =
        std::clamp(kLargestE4M3 * kLargestE2M1 / std::max(amax, 0x1p-100F), 0x1p-100F, 0x1p100F);
    return scheme.tensor_scale == TensorScale::kDivides ? divisor : 1 / divisor;
  }
  if (scheme.granularity != Granularity::kTensor) return 1;
  const float largest = scheme.type == ValueType::kInt
                            ? static_cast<float>((1 << scheme.bits) - 1) / 2.0F
                        : scheme.bits == 4 ? kLargestE2M1
                                           : kLargestE4M3;
  return storable_scale(amax / largest, scheme.scale_dtype);
}

namespace {

// Rows [row, row + count) of the block of columns [column, column + length), one after another.
void gather(const float* values, std::int64_t cols, std::int64_t count, std::int64_t length,
            std::vector<float>& block) {
  block.resize(static_cast<std::size_t>(count * length));
  for (std::int64_t r = 0; r < count; ++r) {
    std::copy_n(values + r * cols, length, block.data() + r * length);
  }
}

// Scales and codes of the rows [row, row + count), which share their scales.
void quantize_band(const GroupFormat& format, const float* values, std::int64_t row,
                   std::int64_t count, std::span<const float> importance, QuantTensor& tensor) {
  const Scheme& scheme = tensor.scheme;
  const std::int64_t cols = tensor.cols;
  const std::int64_t groups = scheme.groups_per_row(cols);
  const std::int64_t width = groups == 1 ? cols : scheme.group_size;
  const std::int64_t first = scheme.first_scale(row, cols);
  std::vector<float> block;
  std::vector<float> weights;
  for (std::int64_t g = 0; g < groups; ++g) {
    const std::int64_t column = g * width;
    const std::int64_t length = std::min(width, cols - column);
    const float* corner = values + row * cols + column;
    std::span<const float> group(corner, static_cast<std::size_t>(length));
    std::span<const float> weight;
    if (!importance.empty()) {
      weight = importance.subspan(static_cast<std::size_t>(column), group.size());
    }
    if (count > 1) {
      gather(corner, cols, count, length, block);
      weights.clear();
      for (std::int64_t r = 0; r < count && !weight.empty(); ++r) {
        weights.insert(weights.end(), weight.begin(), weight.end());
      }
      group = block;
      weight = weights;
    }
    const FittedGroup fitted =
        fit_group(format, group, weight, !importance.empty(), scheme, tensor.tensor_scale);
    const auto index = static_cast<std::size_t>(first + g);
    tensor.scales[index] = fitted.stored;
    if (!scheme.symmetric) {
      tensor.zeros[index] = static_cast<std::int8_t>(static_cast<int>(fitted.params.zero));
    }
    for (std::int64_t r = 0; r < count; ++r) {
      format.project({corner + r * cols, static_cast<std::size_t>(length)}, fitted.params, scheme,
                     tensor.codes.data() + (row + r) * cols + column);
    }
  }
}

}  // namespace

Result<QuantTensor> quantize_rows(const Scheme& scheme, const float* values, std::int64_t rows,
                                  std::int64_t cols, std::span<const float> importance,
                                  float tensor_scale) {
  QUANTLANE_TRY(const GroupFormat* format,
                checked_format(scheme, rows, cols, importance, tensor_scale));
  const auto size = static_cast<std::size_t>(rows * cols);
  QUANTLANE_TRY_VOID(check_finite(scheme, {values, size}, cols));
  QuantTensor tensor;
  tensor.scheme = scheme;
  tensor.rows = rows;
  tensor.cols = cols;
  tensor.codes.resize(size);
  if (scheme.granularity == Granularity::kTensor) {
    const GroupParams params{.scale = storable_scale(tensor_scale, scheme.scale_dtype)};
    tensor.scales = {params.scale};
    format->project({values, size}, params, scheme, tensor.codes.data());
    return tensor;
  }
  if (scheme.tensor_scale != TensorScale::kNone) tensor.tensor_scale = tensor_scale;
  tensor.scales.resize(static_cast<std::size_t>(scheme.scale_count(rows, cols)));
  if (!scheme.symmetric) tensor.zeros.resize(tensor.scales.size());
  for (std::int64_t row = 0; row < rows; row += scheme.block_rows) {
    quantize_band(*format, values, row, std::min<std::int64_t>(scheme.block_rows, rows - row),
                  importance, tensor);
  }
  return tensor;
}

}  // namespace quantlane
