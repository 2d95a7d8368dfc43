#include "core/stats.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <map>
#include <utility>

#include "core/check.h"

namespace quantlane {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kTwoSidedTail = 0.025;  // every interval of this file is two-sided 95 %
constexpr double kZ975 = 1.959963984540054;
constexpr double kZ95 = 1.6448536269514722;
constexpr double kZ80 = 0.8416212335729143;
// Above this many degrees of freedom t and normal quantiles agree to 1e-6.
constexpr double kNormalDegrees = 1e6;
constexpr double kMostSamples = 1e12;

// Continued fraction of the incomplete beta function (Abramowitz and Stegun 26.5.8), evaluated by
// the modified Lentz method; converges fast for x < (a + 1) / (a + b + 2).
double beta_fraction(double x, double a, double b) {
  constexpr double kTiny = 1e-300;
  constexpr double kPrecision = 1e-15;
  // About sqrt(max(a, b)) terms are needed (Press et al., Numerical Recipes, 6.4).
  const int most_terms = 200 + 10 * static_cast<int>(std::sqrt(std::max(a, b)));
  const auto away_from_zero = [](double v) { return std::abs(v) < kTiny ? kTiny : v; };
  double c = 1;
  double d = 1 / away_from_zero(1 - (a + b) * x / (a + 1));
  double fraction = d;
  for (int m = 1; m <= most_terms; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    d = 1 / away_from_zero(1 + even * d);
    c = away_from_zero(1 + even / c);
    fraction *= d * c;
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    d = 1 / away_from_zero(1 + odd * d);
    c = away_from_zero(1 + odd / c);
    fraction *= d * c;
    if (std::abs(d * c - 1) < kPrecision) break;
  }
  return fraction;
}

// Regularised incomplete beta function I_x(a, b), a, b > 0; `y` is 1 - x, given separately so that
// neither end loses digits.
double incomplete_beta(double x, double y, double a, double b) {
  if (x <= 0) return 0;
  if (y <= 0) return 1;
  const double log_front =
      std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) + a * std::log(x) + b * std::log(y);
  if (x < (a + 1) / (a + b + 2)) return std::exp(log_front) * beta_fraction(x, a, b) / a;
  return 1 - std::exp(log_front) * beta_fraction(y, b, a) / b;
}

// The x in [low, high] where the increasing function reaches `target`, to the last bit.
template <class Function>
double solve_increasing(Function function, double target, double low, double high) {
  for (int step = 0; step < 2000; ++step) {
    const double middle = low + (high - low) / 2;
    if (middle <= low || middle >= high) break;
    (function(middle) < target ? low : high) = middle;
  }
  return low + (high - low) / 2;
}

double beta_quantile(double p, double a, double b) {
  return solve_increasing([&](double x) { return incomplete_beta(x, 1 - x, a, b); }, p, 0, 1);
}

// P(T > t) for t >= 0.
double student_tail(double t, double degrees) {
  if (degrees > kNormalDegrees) return 0.5 * std::erfc(t / std::sqrt(2.0));
  const double sum = degrees + t * t;
  return 0.5 * incomplete_beta(degrees / sum, t * t / sum, degrees / 2, 0.5);
}

// Tango's score statistic for H0: P(lost) - P(gained) = delta (Tango 1998, Statistics in Medicine
// 17:891); the nuisance probability is its maximum-likelihood value under H0. Positive when the
// observed loss exceeds delta; decreasing in delta.
double tango_score(double n, double lost, double gained, double delta) {
  const double numerator = lost - gained - n * delta;
  const double a = 2 * n;
  const double b = -lost - gained + (2 * n - lost + gained) * delta;
  const double c = -gained * delta * (1 - delta);
  const double gained_share =
      std::max(0.0, (std::sqrt(std::max(0.0, b * b - 4 * a * c)) - b) / (2 * a));
  const double variance = n * (2 * gained_share + delta * (1 - delta));
  if (variance <= 0) return numerator == 0 ? 0 : std::copysign(kInfinity, numerator);
  return numerator / std::sqrt(variance);
}

}  // namespace

double student_t_quantile(double p, double degrees) {
  QUANTLANE_CHECK(p > 0 && p < 1 && degrees > 0);
  if (p < 0.5) return -student_t_quantile(1 - p, degrees);
  if (p == 0.5) return 0;
  double high = 1;
  while (student_tail(high, degrees) > 1 - p && high < 1e300) high *= 2;
  return solve_increasing([&](double t) { return -student_tail(t, degrees); }, p - 1, 0, high);
}

Interval binomial_exact(std::int64_t k, std::int64_t n) {
  QUANTLANE_CHECK(k >= 0 && n >= k);
  if (n == 0) return {.value = 0, .low = 0, .high = 1};
  const auto successes = static_cast<double>(k);
  const auto failures = static_cast<double>(n - k);
  return {.value = successes / static_cast<double>(n),
          .low = k == 0 ? 0 : beta_quantile(kTwoSidedTail, successes, failures + 1),
          .high = k == n ? 1 : beta_quantile(1 - kTwoSidedTail, successes + 1, failures)};
}

Interval clustered_mean(std::span<const double> values, std::span<const std::int32_t> cluster_of) {
  QUANTLANE_CHECK(values.size() == cluster_of.size());
  if (values.empty()) return {.value = 0, .low = -kInfinity, .high = kInfinity};
  const auto n = static_cast<double>(values.size());
  double sum = 0;
  for (const double value : values) sum += value;
  const double mean = sum / n;
  std::map<std::int32_t, double> deviation;  // of the cluster's sum from its expectation
  for (std::size_t i = 0; i < values.size(); ++i) deviation[cluster_of[i]] += values[i] - mean;
  if (deviation.size() < 2) return {.value = mean, .low = -kInfinity, .high = kInfinity};
  double squares = 0;
  for (const auto& [cluster, amount] : deviation) squares += amount * amount;
  const auto clusters = static_cast<double>(deviation.size());
  // Liang and Zeger's clustered variance of a mean with the small-sample factor G / (G - 1).
  const double error = std::sqrt(squares * clusters / (clusters - 1)) / n;
  const double half = student_t_quantile(1 - kTwoSidedTail, clusters - 1) * error;
  return {.value = mean, .low = mean - half, .high = mean + half};
}

double quantile(std::vector<double> values, double p) {
  QUANTLANE_CHECK(p >= 0 && p <= 1);
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  const double position = p * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(position);
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(below);
  std::nth_element(values.begin(), at, values.end());
  if (below + 1 == values.size()) return *at;
  const double next = *std::min_element(at + 1, values.end());
  return *at + (position - static_cast<double>(below)) * (next - *at);
}

Interval paired_loss(std::int64_t n, std::int64_t lost, std::int64_t gained) {
  QUANTLANE_CHECK(lost >= 0 && gained >= 0 && lost <= n && gained <= n - lost);
  if (n == 0) return {.value = 0, .low = -1, .high = 1};
  const auto items = static_cast<double>(n);
  const auto losses = static_cast<double>(lost);
  const auto gains = static_cast<double>(gained);
  const double loss = (losses - gains) / items;
  const auto exceeds = [&](double delta) { return -tango_score(items, losses, gains, delta); };
  return {.value = loss,
          .low = solve_increasing(exceeds, -kZ975, -1, loss),
          .high = solve_increasing(exceeds, kZ975, loss, 1),
          .one_sided_low = solve_increasing(exceeds, -kZ95, -1, loss),
          .one_sided_high = solve_increasing(exceeds, kZ95, loss, 1)};
}

double loss_above_p(std::int64_t n, std::int64_t lost, std::int64_t gained, double margin) {
  QUANTLANE_CHECK(lost >= 0 && gained >= 0 && lost <= n && gained <= n - lost);
  QUANTLANE_CHECK(margin > -1 && margin < 1);
  if (n == 0) return 1;
  const double z = tango_score(static_cast<double>(n), static_cast<double>(lost),
                               static_cast<double>(gained), margin);
  return 0.5 * std::erfc(z / std::sqrt(2.0));
}

std::vector<double> holm_adjusted(std::span<const double> p_values) {
  std::vector<std::pair<double, std::size_t>> order(p_values.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = {p_values[i], i};
  std::sort(order.begin(), order.end());
  std::vector<double> adjusted(p_values.size());
  double largest = 0;
  for (std::size_t rank = 0; rank < order.size(); ++rank) {
    const auto [p, index] = order[rank];
    largest = std::min(1.0, std::max(largest, static_cast<double>(order.size() - rank) * p));
    adjusted[index] = largest;
  }
  return adjusted;
}

NonInferiority non_inferiority(const Interval& loss, double margin, std::int64_t samples) {
  if (loss.one_sided_high < margin) return {Decision::kNonInferior, 0};
  if (loss.one_sided_low > margin) return {Decision::kInferior, 0};
  const double distance = std::abs(margin - loss.value);
  const double half =
      loss.value < margin ? loss.one_sided_high - loss.value : loss.value - loss.one_sided_low;
  // No interval at all (a single cluster): as much again makes the first one.
  if (!std::isfinite(half)) return {Decision::kUndecided, std::max<std::int64_t>(1, samples)};
  // Widths shrink with the square root of the samples; the true loss being the estimated one, the
  // bound passes the margin with 80 % probability after this many.
  const double reach = half * (1 + kZ80 / kZ95);
  const double ratio = distance > 0 ? reach / distance : kMostSamples;
  const double more = static_cast<double>(samples) * (ratio * ratio - 1);
  return {Decision::kUndecided,
          static_cast<std::int64_t>(std::ceil(std::clamp(more, 1.0, kMostSamples)))};
}

}  // namespace quantlane
