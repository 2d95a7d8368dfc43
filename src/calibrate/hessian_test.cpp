#include "calibrate/hessian.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "formats/random_values_for_test.h"

namespace quantlane {
namespace {

TEST(HessianSum, CountsAMassiveRowLikeFourUsualOnes) {
  // Rows of energy 1 along the first column, one of energy 10^6 along the second.
  std::vector<float> x;
  std::vector<float> exact;
  for (int t = 0; t < 9; ++t) {
    const bool massive = t == 4;
    x.insert(x.end(), {massive ? 0.0F : 1.0F, massive ? 1000.0F : 0.0F});
    exact.insert(exact.end(), {massive ? 0.0F : 1.0F, massive ? 1500.0F : 0.0F});
  }
  ThreadPool pool(2);
  HessianSum sum(2);
  sum.add(x.data(), exact.data(), 9, pool);
  sum.add(x.data(), exact.data(), 9, pool);
  const Hessian hessian = sum.take(pool);
  EXPECT_EQ(hessian.tokens, 18);
  EXPECT_FLOAT_EQ(hessian.sums[0], 16);
  EXPECT_NEAR(static_cast<double>(hessian.sums[3]), 8, 0.1);
  EXPECT_NEAR(static_cast<double>(hessian.shift[3]), 4, 0.1);  // half as much as the row itself
  EXPECT_FLOAT_EQ(hessian.shift[0], 0);
}

// Exact inputs E and the outputs E W^T say the same: X^T (E - X) W^T.
TEST(HessianSum, KnowsWhatOutputsLackFromInputsOrFromOutputs) {
  constexpr std::int64_t kTokens = 50;
  constexpr std::int64_t kCols = 40;
  constexpr std::int64_t kRows = 6;
  const auto exact = normal_values(kTokens * kCols, 1, 1);
  auto x = normal_values(kTokens * kCols, 1, 2);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = exact[i] + 0.2F * x[i];
  for (std::size_t c = 0; c < kCols; ++c) x[7 * kCols + c] *= 100;  // a massive row
  const auto weights = normal_values(kRows * kCols, 1, 3);
  std::vector<float> outputs(static_cast<std::size_t>(kTokens * kRows));
  for (std::size_t t = 0; t < kTokens; ++t) {
    for (std::size_t r = 0; r < kRows; ++r) {
      for (std::size_t c = 0; c < kCols; ++c)
        outputs[t * kRows + r] += exact[t * kCols + c] * weights[r * kCols + c];
    }
  }
  ThreadPool pool(2);
  HessianSum from_inputs(kCols);
  HessianSum from_outputs(kCols);
  for (const std::int64_t first : {0, 20}) {
    const std::int64_t tokens = first == 0 ? 20 : kTokens - 20;
    from_inputs.add(x.data() + first * kCols, exact.data() + first * kCols, tokens, pool);
    from_outputs.add_with_outputs(x.data() + first * kCols, outputs.data() + first * kRows, kRows,
                                  tokens, pool);
  }
  const Hessian want = from_inputs.take(pool);
  const Hessian got = from_outputs.take(weights, pool);
  EXPECT_EQ(got.sums, want.sums);
  EXPECT_EQ(got.tokens, kTokens);
  EXPECT_TRUE(got.shift.empty());
  for (std::size_t i = 0; i < kCols; ++i) {
    for (std::size_t r = 0; r < kRows; ++r) {
      double lack = 0;
      double size = 0;
      for (std::size_t c = 0; c < kCols; ++c) {
        const auto weight = static_cast<double>(weights[r * kCols + c]);
        lack += static_cast<double>(want.shift[i * kCols + c]) * weight;
        size += std::abs(static_cast<double>(want.sums[i * kCols + c]) * weight);
      }
      EXPECT_NEAR(static_cast<double>(got.lack[i * kRows + r]), lack, 0x1p-7 * size);
    }
  }
}

TEST(HessianSum, LeavesRowsOfOneSizeAloneAndKeepsNaN) {
  const std::vector<float> x = {1, 2, 2, 1, -1, 2, -2, 1};
  ThreadPool pool(1);
  HessianSum sum(2);
  sum.add(x.data(), x.data(), 4, pool);
  const Hessian hessian = sum.take(pool);
  EXPECT_EQ(hessian.sums, (std::vector<float>{10, 0, 0, 10}));
  EXPECT_TRUE(hessian.shift.empty());
  std::vector<float> broken = x;
  broken[3] = NAN;
  HessianSum bad(2);
  bad.add(broken.data(), broken.data(), 4, pool);
  EXPECT_TRUE(std::isnan(bad.take(pool).sums[3]));
}

}  // namespace
}  // namespace quantlane
