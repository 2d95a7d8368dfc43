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

ThreadPool& pool() {
  static ThreadPool shared(2);
  return shared;
}

std::vector<float> rows_of(std::int64_t tokens, std::int64_t cols, std::uint64_t seed) {
  Rng rng(seed);
  std::vector<float> x(static_cast<std::size_t>(tokens * cols));
  for (float& v : x) v = static_cast<float>(rng.normal());
  return x;
}

// What exact inputs have become.
std::vector<float> moved(const std::vector<float>& exact) {
  std::vector<float> x = rows_of(1, static_cast<std::int64_t>(exact.size()), 9);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = 0.8F * exact[i] + 0.1F * x[i];
  return x;
}

// (H / tokens + damping * mean of the diagonal) * U^T U is the identity.
TEST(ErrorFeedback, IsTheFactorOfTheInverse) {
  constexpr std::int64_t kCols = 24;
  constexpr std::int64_t kTokens = 200;
  const Hessian hessian = hessian_of(rows_of(kTokens, kCols, 1), kTokens, kCols);
  const auto feedback = make_error_feedback(hessian, 0, pool());
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

// Wider than one block of the factor, in the order of moments.
TEST(ErrorFeedback, WideMatricesInOrderAreFactorsToo) {
  constexpr std::int64_t kCols = 320;
  constexpr std::int64_t kTokens = 500;
  constexpr std::int64_t kGroup = 64;
  std::vector<float> x = rows_of(kTokens, kCols, 5);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] *= 1.0F + static_cast<float>(i * 7 % kCols) / 99;
  const Hessian hessian = hessian_of(x, kTokens, kCols);
  const auto feedback = make_error_feedback(hessian, kGroup, pool());
  ASSERT_TRUE(feedback.has_value());
  const auto& order = feedback->order;
  ASSERT_EQ(order.size(), static_cast<std::size_t>(kCols));
  const auto moment = [&](std::size_t i) { return hessian.sums[order[i] * kCols + order[i]]; };
  for (std::size_t i = 0; i < order.size(); ++i) {
    EXPECT_EQ(order[i] / kGroup, order[i / kGroup * kGroup] / kGroup);
    if (i % kGroup != 0) {
      EXPECT_LE(moment(i), moment(i - 1));
    }
  }
  double mean = 0;
  for (std::int64_t i = 0; i < kCols; ++i) mean += hessian.sums[i * kCols + i] / kTokens / kCols;
  // U (H + damping) U^T is the identity.
  const std::vector<float>& u = feedback->upper;
  for (std::int64_t i = 0; i < kCols; i += 13) {
    std::vector<double> row(kCols);
    for (std::int64_t k = 0; k < kCols; ++k) {
      for (std::int64_t a = i; a < kCols; ++a) {
        const double h =
            hessian.sums[order[a] * kCols + order[k]] / kTokens + (a == k ? 0.01 * mean : 0.0);
        row[k] += static_cast<double>(u[i * kCols + a]) * h;
      }
    }
    for (std::int64_t j = 0; j < kCols; ++j) {
      double product = 0;
      for (std::int64_t k = j; k < kCols; ++k)
        product += row[k] * static_cast<double>(u[j * kCols + k]);
      EXPECT_NEAR(product, i == j ? 1 : 0, 1e-4) << i << ", " << j;
    }
  }
}

// With weights w that meet x instead of e, w + shift w (all of it) is what least squares gives.
TEST(ErrorFeedback, ShiftsWeightsTowardsWhatExactInputsWouldGive) {
  constexpr std::int64_t kCols = 40;
  constexpr std::int64_t kTokens = 400;
  const std::vector<float> exact = rows_of(kTokens, kCols, 8);
  const std::vector<float> x = moved(exact);
  HessianSum sum(kCols);
  sum.add(x.data(), exact.data(), kTokens / 2, pool());
  sum.add(x.data() + kTokens / 2 * kCols, exact.data() + kTokens / 2 * kCols, kTokens / 2, pool());
  const Hessian hessian = sum.take(pool());
  const auto feedback = make_error_feedback(hessian, 0, pool());
  ASSERT_TRUE(feedback.has_value());
  ASSERT_EQ(feedback->shift.size(), static_cast<std::size_t>(kCols * kCols));
  const std::vector<float> w = rows_of(1, kCols, 10);
  const auto output_error = [&](float share) {
    double error = 0;
    for (std::int64_t t = 0; t < kTokens; ++t) {
      double off = 0;
      for (std::int64_t c = 0; c < kCols; ++c) {
        double change = 0;
        for (std::int64_t k = 0; k < kCols; ++k)
          change += static_cast<double>(feedback->shift[c * kCols + k]) * static_cast<double>(w[k]);
        off += (static_cast<double>(w[c]) + static_cast<double>(share) * change) *
                   static_cast<double>(x[t * kCols + c]) -
               static_cast<double>(w[c]) * static_cast<double>(exact[t * kCols + c]);
      }
      error += off * off;
    }
    return error;
  };
  EXPECT_LT(output_error(1), 0.5 * output_error(0));
  EXPECT_LT(output_error(2), 0.4 * output_error(0));
}

// What the outputs of a matrix lack lifts its rows by what the shift of its inputs gives them.
TEST(ErrorFeedback, LiftsRowsAsTheShiftOfTheirInputsDoes) {
  constexpr std::int64_t kCols = 40;
  constexpr std::int64_t kRows = 3;
  constexpr std::int64_t kTokens = 400;
  const std::vector<float> exact = rows_of(kTokens, kCols, 8);
  const std::vector<float> x = moved(exact);
  HessianSum sum(kCols);
  sum.add(x.data(), exact.data(), kTokens, pool());
  Hessian hessian = sum.take(pool());
  const std::vector<float> w = rows_of(kRows, kCols, 10);
  for (std::int64_t i = 0; i < kCols; ++i) {
    for (std::int64_t r = 0; r < kRows; ++r) {
      double lack = 0;
      for (std::int64_t c = 0; c < kCols; ++c)
        lack += static_cast<double>(hessian.shift[i * kCols + c]) *
                static_cast<double>(w[r * kCols + c]);
      hessian.lack.push_back(static_cast<float>(lack));
    }
  }
  for (const std::int64_t group : {0, 8}) {
    const auto feedback = make_error_feedback(hessian, group, pool());
    ASSERT_TRUE(feedback.has_value());
    ASSERT_EQ(feedback->lift.size(), static_cast<std::size_t>(kRows * kCols));
    double largest = 0;
    for (std::int64_t r = 0; r < kRows; ++r) {
      for (std::int64_t c = 0; c < kCols; ++c) {
        double change = 0;
        for (std::int64_t k = 0; k < kCols; ++k)
          change += static_cast<double>(feedback->shift[c * kCols + k]) *
                    static_cast<double>(w[r * kCols + k]);
        EXPECT_NEAR(static_cast<double>(feedback->lift[r * kCols + c]), change, 0.02);
        largest = std::max(largest, std::abs(change));
      }
    }
    EXPECT_GT(largest, 0.2);
  }
}

TEST(ErrorFeedback, FewTokensAndSilentColumnsAreDampedNotRefused) {
  std::vector<float> x = rows_of(3, 16, 2);
  for (std::size_t t = 0; t < 3; ++t) x[t * 16 + 5] = 0;
  for (const Hessian& hessian : {hessian_of(x, 3, 16), hessian_of(std::vector<float>(16), 1, 16)}) {
    const auto feedback = make_error_feedback(hessian, 0, pool());
    ASSERT_TRUE(feedback.has_value());
    for (const float v : feedback->upper) EXPECT_TRUE(std::isfinite(v));
    for (std::int64_t i = 0; i < 16; ++i) EXPECT_GT(feedback->upper[i * 16 + i], 0.0F);
    for (std::int64_t k = 6; k < 16; ++k) EXPECT_EQ(feedback->upper[5 * 16 + k], 0.0F);
  }
}

TEST(ErrorFeedback, WhatIsNoSecondMomentIsRefused) {
  Hessian hessian{.cols = 2, .tokens = 1, .sums = {1, 100, 100, 1}};
  EXPECT_FALSE(make_error_feedback(hessian, 0, pool()));
}

}  // namespace
}  // namespace quantlane
