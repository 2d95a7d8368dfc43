#include "kernels/ops.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "formats/random_values_for_test.h"
#include "kernels/ops/ops_table.h"

namespace quantlane::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// |found - expected| in units of the last place of `expected`.
double ulps(float found, double expected) {
  if (std::isnan(expected)) return std::isnan(found) ? 0 : 1e9;
  const auto rounded = static_cast<float>(expected);
  if (found == rounded) return 0;
  const int exponent = std::max(-126, std::ilogb(expected));
  return std::abs(static_cast<double>(found) - expected) / std::ldexp(1.0, exponent - 23);
}

class OpsRows : public testing::TestWithParam<OpsRow> {
 protected:
  void SetUp() override {
    if (GetParam().isa > cpu_info().best) {
      GTEST_SKIP() << "this processor lacks " << isa_name(GetParam().isa);
    }
  }
  [[nodiscard]] const OpsKernels& kernels() const { return *GetParam().kernels; }
};

const std::int64_t kSizes[] = {0,  1,  2,  7,  8,  9,   15,  16,  17,
                               31, 33, 63, 64, 65, 127, 257, 576, 1009};

TEST_P(OpsRows, ExpStaysWithinItsBoundOnAllFloats) {
  std::vector<float> x;
  for (std::uint64_t bits = 0; bits < (1ULL << 32); bits += 9973) {
    x.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
  }
  for (int i = 0; i < 200000; ++i) x.push_back(-104.5F + static_cast<float>(i) * 0.001F);
  for (const float v :
       {0.0F, -0.0F, kInfinity, -kInfinity, kNan, 88.7228F, 88.7229F, -87.33F, -103.9F, -104.1F}) {
    x.push_back(v);
  }
  std::vector<float> y(x.size());
  kernels().exp(x.data(), static_cast<std::int64_t>(x.size()), y.data());
  double worst = 0;
  double worst_small = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double expected = std::exp(static_cast<double>(x[i]));
    if (expected > static_cast<double>(std::numeric_limits<float>::max())) {
      // The largest argument below overflow may round either way.
      EXPECT_TRUE(y[i] == kInfinity || (expected < 3.4028238e38 && y[i] > 3.402e38F)) << x[i];
      continue;
    }
    const double error = ulps(y[i], expected);
    (expected < 0x1p-126 ? worst_small : worst) =
        std::max(expected < 0x1p-126 ? worst_small : worst, error);
  }
  EXPECT_LE(worst, 1.1);
  EXPECT_LE(worst_small, 1.6);
  float zero = 0;
  kernels().exp(&zero, 1, &zero);
  EXPECT_EQ(zero, 1.0F);
}

TEST_P(OpsRows, RmsNormMatchesTheFormula) {
  for (const std::int64_t width : kSizes) {
    if (width == 0) continue;
    const auto x = normal_values(width, 30, 1);
    const auto weight = normal_values(width, 1, 2);
    auto y = x;
    kernels().rms_norm(y.data(), width, weight.data(), 1e-5, y.data());
    double sum = 0;
    for (const float v : x) sum += static_cast<double>(v) * static_cast<double>(v);
    const double scale = 1 / std::sqrt(sum / static_cast<double>(width) + 1e-5);
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double expected = static_cast<double>(x[i]) * scale * static_cast<double>(weight[i]);
      EXPECT_NEAR(static_cast<double>(y[i]), expected, std::abs(expected) * 3e-7) << width;
    }
  }
}

TEST_P(OpsRows, RmsNormOfZerosIsZero) {
  std::vector<float> x(19, 0.0F);
  const std::vector<float> weight(19, 2.0F);
  kernels().rms_norm(x.data(), 19, weight.data(), 1e-6, x.data());
  EXPECT_EQ(x, std::vector<float>(19, 0.0F));
}

TEST_P(OpsRows, RopeRotatesHalves) {
  for (const std::int64_t dim : {2, 6, 32, 64, 80, 128}) {
    const std::int64_t heads = 3;
    const auto x = normal_values(heads * dim, 1, 3);
    const auto cos = normal_values(dim / 2, 1, 4);
    const auto sin = normal_values(dim / 2, 1, 5);
    auto y = x;
    kernels().rope(y.data(), heads, dim, cos.data(), sin.data());
    for (std::int64_t h = 0; h < heads; ++h) {
      for (std::int64_t i = 0; i < dim / 2; ++i) {
        const auto low = static_cast<std::size_t>(h * dim + i);
        const auto high = static_cast<std::size_t>(h * dim + i + dim / 2);
        const auto c = static_cast<std::size_t>(i);
        EXPECT_EQ(y[low], x[low] * cos[c] - x[high] * sin[c]);
        EXPECT_EQ(y[high], x[high] * cos[c] + x[low] * sin[c]);
      }
    }
  }
}

TEST_P(OpsRows, ActivationsMatchTheirFormulas) {
  for (const std::int64_t size : kSizes) {
    auto gate = normal_values(size, 6, 6);
    const auto up = normal_values(size, 1, 7);
    auto silu = gate;
    auto gelu = gate;
    kernels().silu_multiply(silu.data(), up.data(), size);
    kernels().gelu_tanh_multiply(gelu.data(), up.data(), size);
    for (std::size_t i = 0; i < gate.size(); ++i) {
      const auto v = static_cast<double>(gate[i]);
      const auto u = static_cast<double>(up[i]);
      const double expected_silu = v / (1 + std::exp(-v)) * u;
      EXPECT_NEAR(static_cast<double>(silu[i]), expected_silu,
                  1e-36 + std::abs(expected_silu) * 5e-7);
      // exp amplifies the rounding of its argument; where it is large the result is tiny.
      const double inner = std::sqrt(2 / M_PI) * (v + 0.044715 * v * v * v);
      const double expected_gelu = v / (1 + std::exp(-2 * inner)) * u;
      EXPECT_NEAR(static_cast<double>(gelu[i]), expected_gelu,
                  1e-36 + std::abs(expected_gelu) * 5e-7 * (1 + std::abs(std::min(0.0, inner))));
    }
  }
  std::vector<float> extremes = {-kInfinity, -1e30F, -200.0F, 0.0F, 200.0F, kInfinity, kNan};
  const std::vector<float> ones(extremes.size(), 1.0F);
  kernels().silu_multiply(extremes.data(), ones.data(), 7);
  EXPECT_EQ(extremes[2], 0.0F);
  EXPECT_EQ(extremes[4], 200.0F);
  EXPECT_EQ(extremes[5], kInfinity);
  EXPECT_TRUE(std::isnan(extremes[6]));
}

TEST_P(OpsRows, AddAdds) {
  for (const std::int64_t size : kSizes) {
    const auto x = normal_values(size, 1, 8);
    auto y = normal_values(size, 1, 9);
    const auto before = y;
    kernels().add(y.data(), x.data(), size);
    for (std::size_t i = 0; i < x.size(); ++i) EXPECT_EQ(y[i], before[i] + x[i]);
  }
}

double exact_log_sum_exp(const std::vector<float>& x) {
  const auto top = static_cast<long double>(*std::ranges::max_element(x));
  long double sum = 0;
  for (const float v : x) sum += std::exp(static_cast<long double>(v) - top);
  return static_cast<double>(top + std::log(sum));
}

TEST_P(OpsRows, LogSumExpIsAccurate) {
  for (const std::int64_t size : {1, 5, 16, 63, 64, 65, 1000, 49152}) {
    for (const double scale : {0.01, 1.0, 10.0, 1000.0}) {
      const auto x = normal_values(size, scale, 10);
      const double expected = exact_log_sum_exp(x);
      EXPECT_NEAR(kernels().log_sum_exp(x.data(), size), expected,
                  1e-7 * std::max(1.0, std::abs(expected)))
          << size << " " << scale;
    }
  }
  const std::vector<float> with_nan = {1.0F, kNan, 2.0F};
  EXPECT_TRUE(std::isnan(kernels().log_sum_exp(with_nan.data(), 3)));
}

TEST_P(OpsRows, ArgMaxIsTheFirstLargest) {
  for (const std::int64_t size : {1, 7, 16, 17, 65, 130, 1009}) {
    auto x = normal_values(size, 1, 11);
    for (const std::int64_t at : {std::int64_t{0}, size / 2, size - 1}) {
      auto y = x;
      y[static_cast<std::size_t>(at)] = 100;
      y.back() = 100;
      EXPECT_EQ(kernels().arg_max(y.data(), size), at);
    }
  }
  const std::vector<float> equal(40, -kInfinity);
  EXPECT_EQ(kernels().arg_max(equal.data(), 40), 0);
  const std::vector<float> with_nan = {kNan, -3.0F, kNan, -1.0F, -1.0F};
  EXPECT_EQ(kernels().arg_max(with_nan.data(), 5), 3);
}

long double exact_divergence(const std::vector<float>& p, const std::vector<float>& q) {
  const auto normalizer = [](const std::vector<float>& x) {
    long double sum = 0;
    const auto top = static_cast<long double>(*std::ranges::max_element(x));
    for (const float v : x) sum += std::exp(static_cast<long double>(v) - top);
    return top + std::log(sum);
  };
  const long double p_lse = normalizer(p);
  const long double q_lse = normalizer(q);
  long double sum = 0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    const long double log_p = static_cast<long double>(p[i]) - p_lse;
    sum += std::exp(log_p) * (log_p - (static_cast<long double>(q[i]) - q_lse));
  }
  return sum;
}

// From the noise of an 8-bit format to unrelated distributions, with the row's own log_sum_exp.
TEST_P(OpsRows, DivergenceIsAccurateForNearAndFarRows) {
  for (const std::int64_t size : {1, 15, 64, 1000, 49152}) {
    for (const double noise : {1e-3, 1e-2, 0.1, 1.0, 10.0}) {
      const auto p = normal_values(size, 4, 12);
      auto q = p;
      const auto change = normal_values(size, noise, 13);
      for (std::size_t i = 0; i < q.size(); ++i) q[i] += change[i];
      const double p_lse = kernels().log_sum_exp(p.data(), size);
      const double q_lse = kernels().log_sum_exp(q.data(), size);
      const auto expected = static_cast<double>(exact_divergence(p, q));
      EXPECT_NEAR(kernels().kl_divergence(p.data(), p_lse, q.data(), q_lse, size), expected,
                  1e-6 * expected + 1e-13)
          << size << " " << noise;
    }
  }
}

TEST_P(OpsRows, DivergenceOfEqualRowsIsZeroAndNanIsKept) {
  auto p = normal_values(333, 5, 14);
  const double lse = kernels().log_sum_exp(p.data(), 333);
  EXPECT_EQ(kernels().kl_divergence(p.data(), lse, p.data(), lse, 333), 0);
  auto q = p;
  q[5] = kNan;
  EXPECT_TRUE(std::isnan(kernels().kl_divergence(p.data(), lse, q.data(), lse, 333)));
}

TEST_P(OpsRows, DivergenceOfOppositePeaksIsFinite) {
  std::vector<float> p(70, 0.0F);
  std::vector<float> q(70, 0.0F);
  p[3] = 90;
  q[60] = 95;
  const double p_lse = exact_log_sum_exp(p);
  const double q_lse = exact_log_sum_exp(q);
  EXPECT_NEAR(kernels().kl_divergence(p.data(), p_lse, q.data(), q_lse, 70), 95.0, 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Table, OpsRows, testing::ValuesIn(ops_rows().begin(), ops_rows().end()),
                         [](const auto& row) { return std::string(isa_name(row.param.isa)); });

TEST(Ops, TheTableEndsWithTheReference) { EXPECT_EQ(ops_rows().back().isa, Isa::kRef); }

TEST(Ops, PublicFunctionsLoopOverTokens) {
  const auto x = normal_values(3 * 20, 1, 15);
  const auto weight = normal_values(20, 1, 16);
  std::vector<float> all(60);
  std::vector<float> each(60);
  rms_norm(x.data(), 3, 20, weight.data(), 1e-6, all.data());
  for (int t = 0; t < 3; ++t)
    rms_norm(x.data() + t * 20, 1, 20, weight.data(), 1e-6, each.data() + t * 20);
  EXPECT_EQ(all, each);
  const auto angles = normal_values(3 * 5, 1, 17);
  auto rotated = x;
  auto rotated_each = x;
  rope(rotated.data(), 3, 2, 10, angles.data(), angles.data());
  for (int t = 0; t < 3; ++t) {
    rope(rotated_each.data() + t * 20, 1, 2, 10, angles.data() + t * 5, angles.data() + t * 5);
  }
  EXPECT_EQ(rotated, rotated_each);
}

}  // namespace
}  // namespace quantlane::kernels
