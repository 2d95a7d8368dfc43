#include "core/stats.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/rng.h"

namespace quantlane {
namespace {

// log of n! / (k! (n - k)!) by summing logarithms.
double log_choose(std::int64_t n, std::int64_t k) {
  double sum = 0;
  for (std::int64_t i = 1; i <= k; ++i) {
    sum += std::log(static_cast<double>(n - k + i)) - std::log(static_cast<double>(i));
  }
  return sum;
}

double binomial_at_most(std::int64_t k, std::int64_t n, double p) {
  double sum = 0;
  for (std::int64_t i = 0; i <= k; ++i) {
    sum += std::exp(log_choose(n, i) + static_cast<double>(i) * std::log(p) +
                    static_cast<double>(n - i) * std::log1p(-p));
  }
  return sum;
}

TEST(StudentT, QuantilesMatchPublishedTables) {
  struct Row {
    double p, degrees, expected;
  };
  // NIST/SEMATECH e-Handbook 1.3.6.7.2, three decimals; df = 1 and 2 have closed forms.
  const Row rows[] = {{0.975, 1, 12.706}, {0.975, 2, 4.303},   {0.95, 2, 2.920},
                      {0.975, 4, 2.776},  {0.95, 4, 2.132},    {0.975, 9, 2.262},
                      {0.995, 9, 3.250},  {0.975, 10, 2.228},  {0.999, 10, 4.144},
                      {0.90, 20, 1.325},  {0.975, 30, 2.042},  {0.975, 39, 2.023},
                      {0.95, 60, 1.671},  {0.975, 100, 1.984}, {0.975, 1e7, 1.960}};
  for (const Row& row : rows) {
    EXPECT_NEAR(student_t_quantile(row.p, row.degrees), row.expected, 5.1e-4)
        << row.p << " " << row.degrees;
  }
}

TEST(StudentT, AgreesWithClosedFormsForOneAndTwoDegrees) {
  constexpr double kPi = 3.14159265358979323846;
  for (const double p : {0.001, 0.025, 0.3, 0.5, 0.6, 0.9, 0.975, 0.9999}) {
    const double cauchy = std::tan(kPi * (p - 0.5));
    const double two = (2 * p - 1) / std::sqrt(2 * p * (1 - p));
    EXPECT_NEAR(student_t_quantile(p, 1), cauchy, 1e-9 * (1 + std::abs(cauchy))) << p;
    EXPECT_NEAR(student_t_quantile(p, 2), two, 1e-9 * (1 + std::abs(two))) << p;
  }
}

TEST(StudentT, NearsTheNormalQuantileWithoutAJump) {
  EXPECT_NEAR(student_t_quantile(0.975, 0.99e6), student_t_quantile(0.975, 1.01e6), 1e-5);
  EXPECT_NEAR(student_t_quantile(0.975, 1e9), 1.959963984540054, 1e-9);
}

TEST(BinomialExact, BoundsSolveTheirDefiningSums) {
  for (const std::int64_t n : {1, 2, 7, 30, 120, 500}) {
    for (std::int64_t k = 0; k <= n; k += (n < 10 ? 1 : n / 7)) {
      const Interval interval = binomial_exact(k, n);
      EXPECT_DOUBLE_EQ(interval.value, static_cast<double>(k) / static_cast<double>(n));
      if (k == 0) {
        EXPECT_EQ(interval.low, 0);
        EXPECT_NEAR(interval.high, 1 - std::pow(0.025, 1.0 / static_cast<double>(n)), 1e-12);
      } else {
        EXPECT_NEAR(1 - binomial_at_most(k - 1, n, interval.low), 0.025, 1e-9) << k << "/" << n;
      }
      if (k == n) {
        EXPECT_EQ(interval.high, 1);
      } else {
        EXPECT_NEAR(binomial_at_most(k, n, interval.high), 0.025, 1e-9) << k << "/" << n;
      }
    }
  }
  const Interval nothing = binomial_exact(0, 0);
  EXPECT_EQ(nothing.low, 0);
  EXPECT_EQ(nothing.high, 1);
}

TEST(BinomialExact, StaysAccurateForMillionsOfTrials) {
  const Interval interval = binomial_exact(950000, 1000000);
  EXPECT_NEAR(interval.low, 0.95 - 1.96 * std::sqrt(0.95 * 0.05 / 1e6), 2e-6);
  EXPECT_NEAR(interval.high, 0.95 + 1.96 * std::sqrt(0.95 * 0.05 / 1e6), 2e-6);
  EXPECT_NEAR(binomial_exact(1, 1000000).low, 2.5317808e-8, 1e-13);  // 1 - 0.975^(1/n)
}

// Probability that paired_loss covers the true loss, by summing over every (lost, gained).
struct Coverage {
  double score = 0, wald = 0;
};
Coverage coverage_by_enumeration(std::int64_t n, double p_lost, double p_gained) {
  Coverage covered;
  const double truth = p_lost - p_gained;
  for (std::int64_t lost = 0; lost <= n; ++lost) {
    const double marginal =
        std::exp(log_choose(n, lost) + static_cast<double>(lost) * std::log(p_lost) +
                 static_cast<double>(n - lost) * std::log1p(-p_lost));
    if (marginal < 1e-9) continue;
    const double given = p_gained / (1 - p_lost);
    for (std::int64_t gained = 0; gained <= n - lost; ++gained) {
      const std::int64_t rest = n - lost;
      const double share =
          std::exp(log_choose(rest, gained) + static_cast<double>(gained) * std::log(given) +
                   static_cast<double>(rest - gained) * std::log1p(-given));
      if (share < 1e-9) continue;
      const Interval interval = paired_loss(n, lost, gained);
      if (interval.low <= truth && truth <= interval.high) covered.score += marginal * share;
      const auto items = static_cast<double>(n);
      const double loss = static_cast<double>(lost - gained) / items;
      const double error =
          std::sqrt((static_cast<double>(lost + gained) / items - loss * loss) / items);
      if (std::abs(loss - truth) <= 1.959964 * error) covered.wald += marginal * share;
    }
  }
  return covered;
}

TEST(PairedLoss, CoversForFewDiscordantPairsWhereWaldDoesNot) {
  struct Row {
    std::int64_t n;
    double lost, gained;
  };
  const Row rows[] = {{30, 0.05, 0.02},  {60, 0.02, 0.01},    {120, 0.01, 0.005}, {120, 0.03, 0.02},
                      {120, 0.08, 0.04}, {200, 0.015, 0.015}, {200, 0.05, 0.05},  {40, 0.3, 0.1}};
  double worst_wald = 1;
  for (const Row& row : rows) {
    const Coverage coverage = coverage_by_enumeration(row.n, row.lost, row.gained);
    RecordProperty("coverage", std::to_string(coverage.score));
    EXPECT_GT(coverage.score, 0.935) << row.n << " " << row.lost << " " << row.gained;
    EXPECT_LT(coverage.score, 0.998) << row.n << " " << row.lost << " " << row.gained;
    worst_wald = std::min(worst_wald, coverage.wald);
  }
  EXPECT_LT(worst_wald, 0.85);
}

TEST(PairedLoss, BoundsAreRootsOfTheQuarticOfYangSunAndHardin) {
  // Statistics in Medicine 32 (2013) 1336: squaring Tango's equation gives a quartic in the loss.
  constexpr double g = 1.959963984540054 * 1.959963984540054;
  const std::int64_t rows[][3] = {
      {44, 1, 0}, {21, 7, 1}, {160, 40, 20}, {120, 3, 2}, {1319, 80, 61}};
  for (const auto& [n, lost, gained] : rows) {
    const auto items = static_cast<double>(n);
    const auto difference = static_cast<double>(lost - gained);
    const auto pairs = static_cast<double>(lost + gained);
    const double m0 = items * items * (items / g + 1) * (items / g + 1);
    const double m1 = -items * difference * (items / g + 1) * (4 * items / g + 1);
    const double m2 = 2 * items * difference * difference * (3 * items / g + 2) / g -
                      items * items * (pairs / g + 1);
    const double m3 = items * difference * (2 * pairs / g + 1) -
                      difference * difference * difference * (4 * items / g + 1) / g;
    const double m4 = difference * difference * (difference * difference / g - pairs) / g;
    const Interval interval = paired_loss(n, lost, gained);
    for (const double d : {interval.low, interval.high}) {
      EXPECT_NEAR((((m0 * d + m1) * d + m2) * d + m3) * d + m4, 0, 1e-9 * m0) << n << " " << d;
    }
  }
}

TEST(PairedLoss, ReproducesAPublishedExample) {
  // Fagerland, Lydersen and Laake 2014 (BMC Med. Res. Methodol.): airway hyper-responsiveness of
  // 21 children, discordant 7 and 1.
  const Interval interval = paired_loss(21, 7, 1);
  EXPECT_NEAR(interval.low, 0.026, 5e-4);
  EXPECT_NEAR(interval.high, 0.517, 5e-4);
}

TEST(PairedLoss, IsAntisymmetricBoundedAndOrdered) {
  Rng rng(7);
  for (int trial = 0; trial < 300; ++trial) {
    const auto n = static_cast<std::int64_t>(1 + rng.below(300));
    const auto lost = static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(n) + 1));
    const auto gained =
        static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(n - lost) + 1));
    const Interval loss = paired_loss(n, lost, gained);
    const Interval gain = paired_loss(n, gained, lost);
    EXPECT_NEAR(loss.low, -gain.high, 1e-9);
    EXPECT_NEAR(loss.high, -gain.low, 1e-9);
    EXPECT_LE(-1, loss.low);
    EXPECT_LE(loss.low, loss.value);
    EXPECT_LE(loss.value, loss.high);
    EXPECT_LE(loss.high, 1);
  }
}

TEST(PairedLoss, WithoutDiscordantPairsTheBoundIsTheScoreBound) {
  constexpr double kZ2 = 1.959963984540054 * 1.959963984540054;
  for (const std::int64_t n : {1, 10, 120, 5000}) {
    const Interval interval = paired_loss(n, 0, 0);
    const double expected = kZ2 / (static_cast<double>(n) + kZ2);  // n d / (1 - d) = z^2
    EXPECT_NEAR(interval.high, expected, 1e-9);
    EXPECT_NEAR(interval.low, -expected, 1e-9);
  }
}

TEST(LossAboveP, MatchesTheIntervalAndMcNemarForManyPairs) {
  const Interval interval = paired_loss(500, 40, 12);
  EXPECT_NEAR(loss_above_p(500, 40, 12, interval.low), 0.025, 1e-6);
  EXPECT_NEAR(loss_above_p(500, 40, 12, interval.high), 0.975, 1e-6);
  // At margin 0 the score test is McNemar's without continuity correction.
  EXPECT_NEAR(loss_above_p(500, 40, 12, 0), 0.5 * std::erfc(28 / std::sqrt(52.0) / std::sqrt(2.0)),
              1e-12);
  EXPECT_EQ(loss_above_p(0, 0, 0, 0.01), 1);
}

TEST(Holm, MultipliesStepByStepAndStaysMonotone) {
  const double p[] = {0.01, 0.04, 0.03, 0.005};
  const std::vector<double> adjusted = holm_adjusted(p);  // R: p.adjust(p, "holm")
  ASSERT_EQ(adjusted.size(), 4u);
  EXPECT_NEAR(adjusted[0], 0.03, 1e-12);
  EXPECT_NEAR(adjusted[1], 0.06, 1e-12);
  EXPECT_NEAR(adjusted[2], 0.06, 1e-12);
  EXPECT_NEAR(adjusted[3], 0.02, 1e-12);
  EXPECT_TRUE(holm_adjusted({}).empty());
}

TEST(ClusteredMean, MatchesAHandComputedExample) {
  const double values[] = {1, 3, 2, 6, 4, 8};
  const std::int32_t clusters[] = {9, 9, -2, -2, 5, 5};
  // mean 4; cluster deviations -4, 0, 4; error sqrt(32 * 3/2) / 6; t(.975, 2) = 4.302653
  const Interval interval = clustered_mean(values, clusters);
  EXPECT_DOUBLE_EQ(interval.value, 4);
  EXPECT_NEAR(interval.high - 4, 4.302652729911275 * std::sqrt(48.0) / 6, 1e-9);
  EXPECT_NEAR(4 - interval.low, interval.high - 4, 1e-12);
}

TEST(ClusteredMean, EqualsTheOrdinaryIntervalWhenEveryValueIsItsOwnCluster) {
  const std::vector<double> values = {0.3, 1.9, -2, 4.4, 0.8};
  const std::vector<std::int32_t> clusters = {0, 1, 2, 3, 4};
  const Interval interval = clustered_mean(values, clusters);
  double squares = 0;
  for (const double value : values) squares += (value - 1.08) * (value - 1.08);
  EXPECT_NEAR(interval.high - interval.value, 2.7764451 * std::sqrt(squares / 4 / 5), 1e-6);
}

TEST(ClusteredMean, OneClusterOrNoValueGivesAnInfiniteInterval) {
  const double values[] = {1, 2};
  const std::int32_t clusters[] = {3, 3};
  EXPECT_TRUE(std::isinf(clustered_mean(values, clusters).high));
  EXPECT_DOUBLE_EQ(clustered_mean(values, clusters).value, 1.5);
  EXPECT_TRUE(std::isinf(clustered_mean({}, {}).low));
}

TEST(ClusteredMean, CoversDependentDataWhereTheNaiveIntervalDoesNot) {
  Rng rng(20240917);
  constexpr int kTrials = 1500;
  constexpr int kClusters = 20;
  constexpr int kPerCluster = 30;
  int clustered = 0;
  int naive = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    std::vector<double> values;
    std::vector<std::int32_t> chunk;
    std::vector<std::int32_t> own;
    for (int g = 0; g < kClusters; ++g) {
      const double shared = rng.normal() * 0.5;  // within-cluster correlation 0.2
      for (int i = 0; i < kPerCluster; ++i) {
        own.push_back(static_cast<std::int32_t>(values.size()));
        values.push_back(1 + shared + rng.normal());
        chunk.push_back(g);
      }
    }
    const Interval by_chunk = clustered_mean(values, chunk);
    clustered += by_chunk.low <= 1 && 1 <= by_chunk.high;
    const Interval by_value = clustered_mean(values, own);
    naive += by_value.low <= 1 && 1 <= by_value.high;
  }
  // Monte Carlo standard error 0.006.
  EXPECT_NEAR(static_cast<double>(clustered) / kTrials, 0.95, 0.02);
  EXPECT_LT(static_cast<double>(naive) / kTrials, 0.65);
}

TEST(Quantile, InterpolatesLinearly) {
  const std::vector<double> values = {4, 1, 3, 2};
  EXPECT_DOUBLE_EQ(quantile(values, 0), 1);
  EXPECT_DOUBLE_EQ(quantile(values, 1), 4);
  EXPECT_DOUBLE_EQ(quantile(values, 0.5), 2.5);
  EXPECT_NEAR(quantile(values, 0.99), 3.97, 1e-12);  // numpy.quantile, default method
  EXPECT_DOUBLE_EQ(quantile({5}, 0.3), 5);
  EXPECT_TRUE(std::isnan(quantile({}, 0.5)));
}

TEST(NonInferiority, DecidesByOneSidedBounds) {
  const Interval loss{.value = 0.01, .low = -0.01, .high = 0.03};
  // One-sided bounds: 0.01 +- 0.02 * 0.8392.
  EXPECT_EQ(non_inferiority(loss, 0.0268, 100).decision, Decision::kNonInferior);
  EXPECT_EQ(non_inferiority(loss, 0.0267, 100).decision, Decision::kUndecided);
  EXPECT_EQ(non_inferiority(loss, -0.0067, 100).decision, Decision::kUndecided);
  EXPECT_EQ(non_inferiority(loss, -0.0068, 100).decision, Decision::kInferior);
  EXPECT_EQ(non_inferiority(loss, 0.0268, 100).more_samples, 0);
}

TEST(NonInferiority, AsksForTheSamplesThatDecideWithEightyPercentPower) {
  // Published planning formula n = (z95 + z80)^2 discordant / margin^2 for a true loss of zero:
  // 5 % discordant pairs, margin 1 point: about 3091.
  const Interval loss{.value = 0,
                      .low = -1.959964 * std::sqrt(0.05 / 1000),
                      .high = 1.959964 * std::sqrt(0.05 / 1000)};
  const NonInferiority result = non_inferiority(loss, 0.01, 1000);
  EXPECT_EQ(result.decision, Decision::kUndecided);
  EXPECT_NEAR(static_cast<double>(result.more_samples), 3091 - 1000, 2);
}

TEST(NonInferiority, StaysFiniteWithoutAnIntervalOrADistance) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  const NonInferiority single = non_inferiority({0, -kInf, kInf}, 0.1, 512);
  EXPECT_EQ(single.decision, Decision::kUndecided);
  EXPECT_EQ(single.more_samples, 512);
  const NonInferiority touching = non_inferiority({0.1, 0.0, 0.2}, 0.1, 512);
  EXPECT_EQ(touching.decision, Decision::kUndecided);
  EXPECT_GT(touching.more_samples, 1000000);
}

}  // namespace
}  // namespace quantlane
