#include "quantize/gguf/allocate.h"

#include <cmath>
#include <limits>
#include <numeric>

#include <gtest/gtest.h>

#include "core/rng.h"

namespace quantlane {
namespace {

using Matrices = std::vector<std::vector<TypeOption>>;

TypeOption total(const Matrices& matrices, const std::vector<std::size_t>& chosen) {
  TypeOption sum;
  for (std::size_t m = 0; m < matrices.size(); ++m) {
    sum.bytes += matrices[m][chosen[m]].bytes;
    sum.loss += matrices[m][chosen[m]].loss;
  }
  return sum;
}

// Loss falls with bits about as 4^-bits, sizes differ.
Matrices random_matrices(Rng& rng, std::size_t count) {
  Matrices matrices(count);
  for (auto& options : matrices) {
    const double sensitivity = std::exp(3 * rng.normal());
    const auto weights = static_cast<double>(1000 + rng.below(5000));
    for (const double bits : {2.6, 3.4, 4.5, 5.5, 6.6, 8.5}) {
      options.push_back({.bytes = static_cast<std::uint64_t>(weights * bits / 8),
                         .loss = sensitivity * std::exp2(-2 * bits) * (0.8 + 0.4 * rng.uniform())});
    }
  }
  return matrices;
}

TEST(Allocate, StaysWithinTheBudgetAndNearTheBestOfAllChoices) {
  Rng rng(5);
  for (int round = 0; round < 50; ++round) {
    const Matrices matrices = random_matrices(rng, 5);
    std::uint64_t least = 0;
    std::uint64_t most = 0;
    for (const auto& options : matrices) {
      least += options.front().bytes;
      most += options.back().bytes;
    }
    const std::uint64_t budget = least + rng.below(most - least + 1);
    const auto chosen = allocate(matrices, budget);
    ASSERT_TRUE(chosen.has_value());
    const TypeOption got = total(matrices, *chosen);
    EXPECT_LE(got.bytes, budget);
    double best = std::numeric_limits<double>::infinity();
    double best_smaller = best;  // with the budget less the largest single step
    std::vector<std::size_t> every(matrices.size(), 0);
    for (std::size_t code = 0; code < 7776; ++code) {
      for (std::size_t m = 0, rest = code; m < every.size(); ++m, rest /= 6) every[m] = rest % 6;
      const TypeOption sum = total(matrices, every);
      if (sum.bytes > budget) continue;
      best = std::min(best, sum.loss);
      if (sum.bytes + 6000 <= budget) best_smaller = std::min(best_smaller, sum.loss);
    }
    EXPECT_GE(got.loss, best * (1 - 1e-12));
    EXPECT_LE(got.loss, best_smaller);
  }
}

TEST(Allocate, GivesTheSmallestOfAllOrNothing) {
  const Matrices matrices = {{{100, 3}, {50, 5}}, {{80, 1}}};
  EXPECT_EQ(allocate(matrices, 129), std::nullopt);
  EXPECT_EQ(allocate(matrices, 130), (std::vector<std::size_t>{1, 0}));
  EXPECT_EQ(allocate(matrices, 180), (std::vector<std::size_t>{0, 0}));
}

TEST(Allocate, NeverTakesWhatIsLargerAndNoBetter) {
  const Matrices matrices = {{{100, 3}, {120, 3}, {130, 4}, {140, 2}}};
  EXPECT_EQ(allocate(matrices, 139), (std::vector<std::size_t>{0}));
  EXPECT_EQ(allocate(matrices, 500), (std::vector<std::size_t>{3}));
}

}  // namespace
}  // namespace quantlane
