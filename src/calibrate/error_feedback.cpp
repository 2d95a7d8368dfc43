#include "calibrate/error_feedback.h"

#include <algorithm>
#include <cmath>
#include <string>

#include <Eigen/Dense>

namespace quantlane {
namespace {

constexpr double kLeastDamping = 0.01;
constexpr double kMostDamping = 10;

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

}  // namespace

Result<ErrorFeedback> make_error_feedback(const Hessian& hessian) {
  const Eigen::Index n = hessian.cols;
  const double tokens = static_cast<double>(std::max<std::int64_t>(1, hessian.tokens));
  const auto at = [&](Eigen::Index row, Eigen::Index col) {
    return static_cast<double>(hessian.sums[static_cast<std::size_t>(row * n + col)]) / tokens;
  };
  double mean = 0;
  for (Eigen::Index i = 0; i < n; ++i) mean += at(i, i) / static_cast<double>(n);
  if (!(mean > 0)) mean = 1;
  for (double damping = kLeastDamping; damping <= kMostDamping; damping *= 10) {
    // With both orders reversed the factor of H itself gives U: no inverse of a full matrix.
    Matrix reversed(n, n);
    for (Eigen::Index i = 0; i < n; ++i) {
      for (Eigen::Index k = 0; k <= i; ++k) reversed(i, k) = at(n - 1 - i, n - 1 - k);
      reversed(i, i) += damping * mean;
    }
    const Eigen::LLT<Eigen::Ref<Matrix>, Eigen::Lower> factor(reversed);
    if (factor.info() != Eigen::Success) continue;
    Matrix inverse = Matrix::Identity(n, n);
    reversed.triangularView<Eigen::Lower>().solveInPlace(inverse);
    ErrorFeedback feedback{.cols = hessian.cols, .upper = {}, .damping = damping};
    feedback.upper.assign(static_cast<std::size_t>(n * n), 0.0F);
    bool finite = true;
    for (Eigen::Index i = 0; i < n; ++i) {
      for (Eigen::Index k = i; k < n; ++k) {
        const auto value = static_cast<float>(inverse(n - 1 - i, n - 1 - k));
        finite = finite && std::isfinite(value);
        feedback.upper[static_cast<std::size_t>(i * n + k)] = value;
      }
    }
    if (finite) return feedback;
  }
  return fail(corrupt("factorizing the second moments of activations")
                  .expects("a positive definite matrix")
                  .got("none, with " + std::to_string(kMostDamping) + " times the mean added"));
}

}  // namespace quantlane
