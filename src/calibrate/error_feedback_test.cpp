#include "calibrate/error_feedback.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "core/rng.h"

namespace quantlane {
namespace {

Hessian hessian_of(const std::vector<float>& x, std::int64_t tokens, std::int64_t cols) {
  Hessian hessian{.cols = cols, .tokens = tokens, .sums = {}};
  for (std::int64_t i = 0; i < cols; ++i) {
    for (std::int64_t k = 0; k < cols; ++k) {
      float sum = 0;
      for (std::int64_t t = 0; t < tokens; ++t) sum += x[t * cols + i] * x[t * cols + k];
      hessian.sums.push_back(sum);
    }
  }
  return hessian;
}

std::vector<float> rows_of(std::int64_t tokens, std::int64_t cols, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<float> x(static_cast<std::size_t>(tokens * cols));
  for (float& v : x) v = static_cast<float>(rng.normal());
  return x;
}

// (H / tokens + damping * mean of the diagonal) * U^T U is the identity.
TEST(ErrorFeedback, IsTheFactorOfTheInverse) {
  constexpr std::int64_t kCols = 24;
  constexpr std::int64_t kTokens = 200;
  const Hessian hessian = hessian_of(rows_of(kTokens, kCols, 1), kTokens, kCols);
  const auto feedback = make_error_feedback(hessian);
  ASSERT_TRUE(feedback.has_value());
  EXPECT_DOUBLE_EQ(feedback->damping, 0.01);
  double mean = 0;
  for (std::int64_t i = 0; i < kCols; ++i) mean += hessian.sums[i * kCols + i] / kTokens / kCols;
  const auto damped = [&](std::int64_t i, std::int64_t k) {
    return hessian.sums[i * kCols + k] / kTokens + (i == k ? 0.01 * mean : 0.0);
  };
  for (std::int64_t i = 0; i < kCols; ++i) {
    for (std::int64_t k = 0; k < kCols; ++k) {
      double product = 0;
      for (std::int64_t a = 0; a < kCols; ++a) {
        double inverse = 0;
        for (std::int64_t b = 0; b < kCols; ++b)
          inverse += static_cast<double>(feedback->upper[b * kCols + a]) *
                     static_cast<double>(feedback->upper[b * kCols + k]);
        product += damped(i, a) * inverse;
      }
      EXPECT_NEAR(product, i == k ? 1 : 0, 1e-4) << i << ", " << k;
      if (k < i) {
        EXPECT_EQ(feedback->upper[i * kCols + k], 0.0F);
      }
    }
  }
}

TEST(ErrorFeedback, FewTokensAndSilentColumnsAreDampedNotRefused) {
  std::vector<float> x = rows_of(3, 16, 2);
  for (std::size_t t = 0; t < 3; ++t) x[t * 16 + 5] = 0;
  for (const Hessian& hessian : {hessian_of(x, 3, 16), hessian_of(std::vector<float>(16), 1, 16)}) {
    const auto feedback = make_error_feedback(hessian);
    ASSERT_TRUE(feedback.has_value());
    for (const float v : feedback->upper) EXPECT_TRUE(std::isfinite(v));
    for (std::int64_t i = 0; i < 16; ++i) EXPECT_GT(feedback->upper[i * 16 + i], 0.0F);
    for (std::int64_t k = 6; k < 16; ++k) EXPECT_EQ(feedback->upper[5 * 16 + k], 0.0F);
  }
}

TEST(ErrorFeedback, WhatIsNoSecondMomentIsRefused) {
  Hessian hessian{.cols = 2, .tokens = 1, .sums = {1, 100, 100, 1}};
  EXPECT_FALSE(make_error_feedback(hessian));
}

}  // namespace
}  // namespace quantlane
