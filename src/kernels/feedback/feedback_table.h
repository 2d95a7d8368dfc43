// The rows of error feedback: selection and tests read this table.
#pragma once
#include <span>

#include "core/cpu.h"
#include "kernels/feedback.h"
#include "kernels/feedback/feedback_kernels.h"

namespace quantlane::kernels {

struct FeedbackRow {
  Isa isa;  // needs at least this
  const FeedbackKernels* kernels;
};

// Best first; the last row is the portable one. All give the same bits.
std::span<const FeedbackRow> feedback_rows();

FeedbackSteps steps_of(const FeedbackGrid& grid);

}  // namespace quantlane::kernels
