// What rows of weights aim at under error feedback.
#pragma once
#include <cstdint>
#include <vector>

#include "calibrate/error_feedback.h"

namespace quantlane {

// The rows `values` [rows, cols] with what makes up for moved inputs (ErrorFeedback::shift),
// columns in the order of the feedback.
std::vector<float> feedback_targets(const float* values, std::int64_t rows,
                                    const ErrorFeedback& feedback);

}  // namespace quantlane
