// How the rounding error of one column is best made up for by the columns after it (OBQ, GPTQ:
// Frantar et al. 2022, section 3.3).
#pragma once
#include <cstdint>
#include <vector>

#include "calibrate/hessian.h"
#include "quantlane/result.h"

namespace quantlane {

// `upper` [cols, cols]: the upper triangular U with (H / tokens + damping)^-1 = U^T U, zeros below
// the diagonal. An error e of column j is made up for by adding -e * U[j][k] / U[j][j] to every
// column k > j.
struct ErrorFeedback {
  std::int64_t cols = 0;
  std::vector<float> upper;
  double damping = 0;  // share of the mean of the diagonal that was added to it
};

// Damping starts at 1 % and grows tenfold until the matrix is positive definite; columns that were
// always zero neither get nor give anything. kCorrupt where no damping helps.
Result<ErrorFeedback> make_error_feedback(const Hessian& hessian);

}  // namespace quantlane
