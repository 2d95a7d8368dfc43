#include "calibrate/hessian.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

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
  const Hessian hessian = sum.take();
  EXPECT_EQ(hessian.tokens, 18);
  EXPECT_FLOAT_EQ(hessian.sums[0], 16);
  EXPECT_NEAR(static_cast<double>(hessian.sums[3]), 8, 0.1);
  EXPECT_NEAR(static_cast<double>(hessian.shift[3]), 4, 0.1);  // half as much as the row itself
  EXPECT_FLOAT_EQ(hessian.shift[0], 0);
}

TEST(HessianSum, LeavesRowsOfOneSizeAloneAndKeepsNaN) {
  const std::vector<float> x = {1, 2, 2, 1, -1, 2, -2, 1};
  ThreadPool pool(1);
  HessianSum sum(2);
  sum.add(x.data(), x.data(), 4, pool);
  const Hessian hessian = sum.take();
  EXPECT_EQ(hessian.sums, (std::vector<float>{10, 0, 0, 10}));
  EXPECT_TRUE(hessian.shift.empty());
  std::vector<float> broken = x;
  broken[3] = NAN;
  HessianSum bad(2);
  bad.add(broken.data(), broken.data(), 4, pool);
  EXPECT_TRUE(std::isnan(bad.take().sums[3]));
}

}  // namespace
}  // namespace quantlane
