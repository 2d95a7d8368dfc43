// How the rounding error of one column is best made up for by the columns after it (OBQ, GPTQ:
// Frantar et al. 2022, section 3.3).
#pragma once
#include <cstdint>
#include <vector>

#include "calibrate/hessian.h"
#include "core/threads.h"
#include "quantlane/result.h"

namespace quantlane {

// `upper` [cols, cols]: the upper triangular U with (H / tokens + damping)^-1 = U^T U, zeros below
// the diagonal, rows and columns in the order in which columns are settled. An error e of column j
// is made up for by adding -e * U[j][k] / U[j][j] to every column k > j.
struct ErrorFeedback {
  std::int64_t cols = 0;
  std::vector<float> upper;
  double damping = 0;  // share of the mean of the diagonal that was added to it
  // Mean squares of the inputs, in `order`.
  std::vector<float> moments = {};
  // Which column is settled when; empty = from left to right.
  std::vector<std::int32_t> order = {};
  // What rows of weights aim at instead of themselves, where the inputs have moved: w + w S^T,
  // S [cols, cols] with its rows in `order`. Empty where they have not.
  std::vector<float> shift = {};
  // The same where it is known of each row of the matrix [rows, cols], columns in `order`: rows aim
  // at w + lift. Empty where `shift` is not.
  std::vector<float> lift = {};
};

// Damping that is tried first, as a share of the mean of the diagonal.
inline constexpr double kLeastDamping = 0.01;

// Columns in the order of their second moments, largest first: within groups of `group` columns,
// then whole groups by their means, so that each group stays together (group = cols: all columns).
std::vector<std::int32_t> feedback_order(const Hessian& hessian, std::int64_t group);

// Damping starts at kLeastDamping and grows tenfold until the matrix is positive definite; columns
// that were always zero neither get nor give anything. `group` as in feedback_order(), 0 = from
// left to right. kCorrupt where no damping helps.
Result<ErrorFeedback> make_error_feedback(const Hessian& hessian, std::int64_t group,
                                          ThreadPool& pool);

}  // namespace quantlane
