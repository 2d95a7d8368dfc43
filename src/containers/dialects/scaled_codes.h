// What the dialects share whose Linears are codes with a scale beside them: "weight",
// "weight_scale", "input_scale".
#pragma once
#include <cstdint>
#include <string_view>

#include "containers/dialects/linear_tensors.h"

namespace quantlane {

struct ScaledCodes {
  const TensorInfo* codes = nullptr;
  const TensorInfo* scale = nullptr;
  const TensorInfo* factor = nullptr;  // of all scales
  const TensorInfo* input = nullptr;
};

// "weight_scale" as `weight` has it, with `factor` ("weight_scale_2") where it has a tensor scale.
Result<void> find_scales(const LinearTensors& tensors, const Scheme& weight, std::int64_t rows,
                         std::int64_t cols, std::string_view factor, ScaledCodes& found);
// "input_scale" where the inputs are calibrated.
Result<void> find_input_scale(const LinearTensors& tensors, const LinearScheme& scheme,
                              ScaledCodes& found);

// Scales, factor and scale of the inputs.
Result<void> read_all_scales(const LinearTensors& tensors, const ScaledCodes& found,
                             StoredLinear& linear);
// The whole, of codes in bytes or, of 4 bits, two in each.
Result<StoredLinear> read_scaled_codes(const LinearTensors& tensors, const ScaledCodes& found,
                                       const LinearScheme& scheme, std::int64_t rows,
                                       std::int64_t cols);

}  // namespace quantlane
