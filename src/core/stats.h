// Paired statistics of the comparison: clustered intervals, score tests, sample sizes. Sources:
// Miller, "Adding error bars to evals" (arXiv 2411.00640); Blackwelder 1982 (non-inferiority).
// Deterministic.
#pragma once
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "quantlane/evaluate.h"

namespace quantlane {

// Mean of `values` with a 95 % interval; values of one cluster (chunk, document) are dependent.
// `cluster_of[i]` is any label; Student's t with clusters - 1 degrees of freedom; one cluster gives
// an infinite interval.
Interval clustered_mean(std::span<const double> values, std::span<const std::int32_t> cluster_of);
// The p-quantile (0..1) of `values` (copied, linear interpolation).
double quantile(std::vector<double> values, double p);

// Loss of accuracy (lost - gained) / n, as a share, with a 95 % interval that stays sensible for
// few discordant pairs (exact/score type, not Wald).
Interval paired_loss(std::int64_t n, std::int64_t lost, std::int64_t gained);
// One-sided p-value of "the true loss is at most `margin`" (a share): small = inferior. Same score
// statistic as paired_loss.
double loss_above_p(std::int64_t n, std::int64_t lost, std::int64_t gained, double margin);
// Holm's step-down adjustment, in the order given: adjusted <= alpha keeps the family-wise error.
std::vector<double> holm_adjusted(std::span<const double> p_values);

// `interval` with a monotone function applied; a decreasing one exchanges the ends.
template <class Function>
Interval mapped(const Interval& interval, Function function) {
  Interval result{.value = function(interval.value),
                  .low = function(interval.low),
                  .high = function(interval.high),
                  .one_sided_low = function(interval.one_sided_low),
                  .one_sided_high = function(interval.one_sided_high)};
  if (function(0.0) > function(1.0)) {
    std::swap(result.low, result.high);
    std::swap(result.one_sided_low, result.one_sided_high);
  }
  return result;
}

// A one-sided 95 % non-inferiority decision: ship when the upper bound (Interval::one_sided_high)
// is below the margin, do not ship when the lower one is above it, else inconclusive. Larger =
// worse.
enum class Decision : std::uint8_t { kNonInferior, kInferior, kUndecided };
struct NonInferiority {
  Decision decision;
  // About how many more (same kind, beyond `samples`) decide with 80 % power if the estimate is the
  // truth; 0 when decided, at most 1e12.
  std::int64_t more_samples;
};
NonInferiority non_inferiority(const Interval& loss, double margin, std::int64_t samples);

// Quantile of Student's t with `degrees` degrees of freedom, 0 < p < 1.
double student_t_quantile(double p, double degrees);
// Bounds of the exact (Clopper-Pearson) 95 % interval of k successes in n trials.
Interval binomial_exact(std::int64_t k, std::int64_t n);

}  // namespace quantlane
