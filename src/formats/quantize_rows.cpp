// quantize_rows: a matrix through a group format, row by row.
#include <cmath>
#include <string>

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
  if (scheme.granularity == Granularity::kTensor &&
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

Result<QuantTensor> quantize_rows(const Scheme& scheme, const float* values, std::int64_t rows,
                                  std::int64_t cols, std::span<const float> importance,
                                  float tensor_scale) {
  QUANTLANE_TRY(const GroupFormat* format,
                checked_format(scheme, rows, cols, importance, tensor_scale));
  const auto size = static_cast<std::size_t>(rows * cols);
  QUANTLANE_TRY_VOID(check_finite(scheme, {values, size}, cols));
  const bool per_tensor = scheme.granularity == Granularity::kTensor;
  const std::int64_t groups = scheme.groups_per_row(cols);
  const auto length = static_cast<std::size_t>(cols / groups);
  QuantTensor tensor;
  tensor.scheme = scheme;
  tensor.rows = rows;
  tensor.cols = cols;
  tensor.codes.resize(size);
  if (per_tensor) {
    const GroupParams params{.scale = storable_scale(tensor_scale, scheme.scale_dtype)};
    tensor.scales = {params.scale};
    format->project({values, size}, params, scheme, tensor.codes.data());
    return tensor;
  }
  tensor.scales.resize(static_cast<std::size_t>(rows * groups));
  if (!scheme.symmetric) tensor.zeros.resize(tensor.scales.size());
  for (std::size_t g = 0; g < tensor.scales.size(); ++g) {
    const std::span<const float> group(values + g * length, length);
    const std::size_t column = g % static_cast<std::size_t>(groups) * length;
    const GroupParams params =
        importance.empty()
            ? format->fit_absmax(group, scheme)
            : format->fit_weighted(group, importance.subspan(column, length), scheme);
    tensor.scales[g] = params.scale;
    if (!scheme.symmetric)
      tensor.zeros[g] = static_cast<std::int8_t>(static_cast<int>(params.zero));
    format->project(group, params, scheme, tensor.codes.data() + g * length);
  }
  return tensor;
}

}  // namespace quantlane
