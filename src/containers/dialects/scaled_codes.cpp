#include "containers/dialects/scaled_codes.h"

#include <vector>

#include "core/check.h"

namespace quantlane {

Result<void> find_scales(const LinearTensors& tensors, const Scheme& weight, std::int64_t rows,
                         std::int64_t cols, std::string_view factor, ScaledCodes& found) {
  const std::int64_t groups = weight.groups_per_row(cols);
  const std::vector<std::int64_t> shape = {weight.scale_count(rows, cols) / groups, groups};
  if (weight.scale_dtype == DType::kF8E8M0) {
    QUANTLANE_TRY(found.scale,
                  tensors.require("weight_scale", {DType::kU8, DType::kF8E8M0}, shape));
  } else if (weight.tensor_scale != TensorScale::kNone) {
    QUANTLANE_TRY(found.scale, tensors.require("weight_scale", {DType::kF8E4M3}, shape));
    QUANTLANE_TRY(found.factor, tensors.require(factor, {DType::kF32}, {1}));
  } else {
    QUANTLANE_TRY(found.scale, tensors.require("weight_scale", kPlainScaleTypes, shape));
  }
  return {};
}

Result<void> find_input_scale(const LinearTensors& tensors, const LinearScheme& scheme,
                              ScaledCodes& found) {
  if (!scheme.input || !scheme.input->calibrated()) return {};
  QUANTLANE_TRY(found.input, tensors.require("input_scale", kPlainScaleTypes, {1}));
  return {};
}

Result<void> read_all_scales(const LinearTensors& tensors, const ScaledCodes& found,
                             StoredLinear& linear) {
  QUANTLANE_TRY_VOID(tensors.read_scales(*found.scale, linear.weight));
  if (found.factor != nullptr) {
    QUANTLANE_TRY(linear.weight.tensor_scale, tensors.positive_scalar(*found.factor));
  }
  if (found.input != nullptr) {
    QUANTLANE_TRY(linear.input->static_scale, tensors.positive_scalar(*found.input));
  }
  return {};
}

Result<StoredLinear> read_scaled_codes(const LinearTensors& tensors, const ScaledCodes& found,
                                       const LinearScheme& scheme, std::int64_t rows,
                                       std::int64_t cols) {
  StoredLinear linear = empty_linear(scheme, rows, cols);
  QUANTLANE_TRY_VOID(read_all_scales(tensors, found, linear));
  const auto bytes = tensors.bytes(*found.codes);
  linear.weight.codes = scheme.weight.bits == 4 ? nibble_codes(bytes) : byte_codes(bytes);
  return linear;
}

}  // namespace quantlane
