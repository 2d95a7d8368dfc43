// Chooses the instruction set of error feedback.
#include "kernels/feedback.h"

#include <algorithm>
#include <array>

#include "kernels/feedback/feedback_table.h"

namespace quantlane::kernels {
namespace {

constexpr std::array kFeedbackRows = {FeedbackRow{Isa::kAvx512, &kFeedbackAvx512},
                                      FeedbackRow{Isa::kAvx2, &kFeedbackAvx2},
                                      FeedbackRow{Isa::kRef, &kFeedbackRef}};

const FeedbackKernels& chosen_feedback() {
  static const FeedbackKernels& kernels =
      *std::ranges::find_if(kFeedbackRows, [](const FeedbackRow& row) {
         return row.isa <= active_isa();
       })->kernels;
  return kernels;
}

}  // namespace

std::span<const FeedbackRow> feedback_rows() { return kFeedbackRows; }

FeedbackSteps steps_of(const FeedbackGrid& grid) {
  return {.kind = static_cast<int>(grid.kind), .low = grid.low, .high = grid.high};
}

void feedback_losses(const FeedbackGroup& group, const FeedbackGrid& grid, const float* x,
                     const float* scale, const float* zero, float* state, float* loss) {
  const FeedbackSteps steps = steps_of(grid);
  chosen_feedback().losses(group.upper, group.stride, group.count, &steps, x, scale, zero, state,
                           loss);
}

void feedback_settle(const FeedbackGroup& group, const FeedbackGrid& grid, float scale, float zero,
                     float* x, float* settled, float* errors) {
  const FeedbackSteps steps = steps_of(grid);
  chosen_feedback().settle(group.upper, group.stride, group.count, &steps, scale, zero, x, settled,
                           errors);
}

void feedback_spread(const float* errors, std::int64_t rows, std::int64_t count, const float* upper,
                     std::int64_t upper_stride, float* values, std::int64_t stride,
                     std::int64_t width) {
  chosen_feedback().spread(errors, rows, count, upper, upper_stride, values, stride, width);
}

}  // namespace quantlane::kernels
