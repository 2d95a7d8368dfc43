#include "quantize/algorithms/feedback_targets.h"

#include "core/threads.h"
#include "kernels/gemm.h"

namespace quantlane {

std::vector<float> feedback_targets(const float* values, std::int64_t rows,
                                    const LinearInputs& inputs) {
  const ErrorFeedback& feedback = *inputs.feedback;
  const std::int64_t cols = feedback.cols;
  std::vector<float> result(static_cast<std::size_t>(rows * cols), 0.0F);
  if (!feedback.shift.empty()) {
    ThreadPool alone(1);  // the rows of other slices keep the other threads busy
    kernels::gemm_rounded(values, rows, cols, {.f32 = feedback.shift.data()}, cols, result.data(),
                          alone);
  } else if (!feedback.lift.empty()) {
    const float* lift = feedback.lift.data() + inputs.first_row * cols;
    for (std::int64_t i = 0; i < rows * cols; ++i)
      result[static_cast<std::size_t>(i)] = inputs.factor * lift[i];
  }
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t j = 0; j < cols; ++j) {
      const std::int64_t from =
          feedback.order.empty() ? j : feedback.order[static_cast<std::size_t>(j)];
      result[static_cast<std::size_t>(r * cols + j)] += values[r * cols + from];
    }
  }
  return result;
}

}  // namespace quantlane
