// Error feedback within a group of columns (GPTQ): what rounding one column costs is made up for by
// the columns after it, in proportion to a row of the upper triangular factor U of the inverse of
// the inputs' second moments (calibrate/error_feedback.h).
#pragma once
#include <cstdint>

namespace quantlane::kernels {

// What the quotient value / scale is rounded to.
struct FeedbackGrid {
  enum class Kind : std::uint8_t { kIntegers, kE2M1, kE4M3 };
  Kind kind = Kind::kIntegers;
  float low = 0;  // of kIntegers: codes low..high, less the zero point
  float high = 0;
};

constexpr int kFeedbackCandidates = 16;

// A group of `count` columns: their part of U, from its first diagonal element on.
struct FeedbackGroup {
  const float* upper;
  std::int64_t stride;  // of the rows of U
  std::int64_t count;
};

// loss[c] = sum over the columns of (error / U[j][j])^2 when the values x [count] are rounded with
// scale[c] and zero[c], each after the errors of those before it. `state`: [count * 16].
void feedback_losses(const FeedbackGroup& group, const FeedbackGrid& grid, const float* x,
                     const float* scale, const float* zero, float* state, float* loss);
// The same for one pair: settled [count] = the rounded values, errors [count] = error / U[j][j]; x
// is changed.
void feedback_settle(const FeedbackGroup& group, const FeedbackGrid& grid, float scale, float zero,
                     float* x, float* settled, float* errors);
// values [rows, width] -= errors [rows, count] * U, rows `stride` apart; `upper`: the part of U
// above `values`.
void feedback_spread(const float* errors, std::int64_t rows, std::int64_t count, const float* upper,
                     std::int64_t upper_stride, float* values, std::int64_t stride,
                     std::int64_t width);

}  // namespace quantlane::kernels
