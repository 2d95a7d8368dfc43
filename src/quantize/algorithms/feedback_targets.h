// What rows of weights aim at under error feedback.
#pragma once
#include <cstdint>
#include <vector>

#include "quantize/algorithms/algorithm.h"

namespace quantlane {

// The rows `values` [rows, cols] with what makes up for moved inputs (ErrorFeedback::shift and
// lift), columns in the order of inputs.feedback.
std::vector<float> feedback_targets(const float* values, std::int64_t rows,
                                    const LinearInputs& inputs);

}  // namespace quantlane
