#include "quantize/linear_scales.h"

#include <cmath>

#include <gtest/gtest.h>

#include "core/rng.h"
#include "formats/group_format.h"

namespace quantlane {
namespace {

constexpr std::int64_t kLinearRows = 32;
constexpr std::int64_t kLinearCols = 64;

Weight random_weight(std::uint64_t seed, double spread) {
  Rng rng(seed);
  auto values =
      std::make_shared<std::vector<float>>(static_cast<std::size_t>(kLinearRows * kLinearCols));
  for (float& value : *values) value = static_cast<float>(rng.normal() * spread);
  return {values, kLinearRows, kLinearCols};
}

double error_under(const Scheme& scheme, float scale, const Weight& weight) {
  std::vector<float> values(static_cast<std::size_t>(kLinearRows * kLinearCols));
  weight.decode_rows(0, kLinearRows, values.data());
  const std::vector<float> ones(static_cast<std::size_t>(kLinearCols), 1.0F);
  const auto tensor = quantize_rows(scheme, values.data(), kLinearRows, kLinearCols, ones, scale);
  EXPECT_TRUE(tensor.has_value());
  std::vector<float> decoded(values.size());
  tensor->decode_rows(0, kLinearRows, decoded.data());
  double error = 0;
  for (std::size_t i = 0; i < values.size(); ++i)
    error += std::pow(static_cast<double>(decoded[i]) - static_cast<double>(values[i]), 2);
  return error;
}

class WeightScalesOf : public ::testing::TestWithParam<const char*> {
 protected:
  ThreadPool pool_{2};
};

TEST_P(WeightScalesOf, AreSharedByFusedLinearsAndNoWorseThanTheLargestValueGives) {
  const Scheme scheme = Scheme::parse(GetParam()).value();
  const Weight query = random_weight(1, 0.1);
  const Weight key = random_weight(2, 0.3);
  const Weight down = random_weight(3, 2);
  WeightScales searched(true, nullptr, pool_);
  WeightScales plain(false, nullptr, pool_);
  for (WeightScales* scales : {&searched, &plain}) {
    scales->add("l.self_attn.q_proj", query, scheme);
    scales->add("l.self_attn.k_proj", key, scheme);
    scales->add("l.mlp.down_proj", down, scheme);
    EXPECT_EQ(scales->of("l.self_attn.q_proj"), scales->of("l.self_attn.k_proj"));
    EXPECT_NE(scales->of("l.self_attn.q_proj"), scales->of("l.mlp.down_proj"));
  }
  for (const auto& [module, weights] : {std::pair{"l.self_attn.q_proj", std::vector{&query, &key}},
                                        std::pair{"l.mlp.down_proj", std::vector{&down}}}) {
    double best = 0;
    double start = 0;
    for (const Weight* weight : weights) {
      best += error_under(scheme, searched.of(module), *weight);
      start += error_under(scheme, plain.of(module), *weight);
    }
    EXPECT_LE(best, start) << module;
  }
}
INSTANTIATE_TEST_SUITE_P(All, WeightScalesOf,
                         ::testing::Values("fp8_e4m3_tensor", "int8_tensor_sym", "nvfp4"));

TEST(WeightScales, SchemesWithoutOneGetNone) {
  ThreadPool pool(1);
  const Weight weight = random_weight(1, 0.1);
  WeightScales scales(true, nullptr, pool);
  scales.add("m", weight, Scheme::parse("int4_g64_sym").value());
  EXPECT_EQ(scales.of("m"), 0);
  // Linears beside it may have another scheme.
  scales.add("n", weight, Scheme::parse("fp8_e4m3_tensor").value());
  EXPECT_GT(scales.of("n"), 0);
}

// The statistics of rows in which one value in a thousand is `outlier`.
InputStatistics inputs_with(float outlier) {
  Statistics statistics;
  Rng rng(5);
  std::vector<float> x(static_cast<std::size_t>(kSampledToken * 200 * kLinearCols));
  for (std::size_t i = 0; i < x.size(); ++i)
    x[i] = i % 997 == 0 ? outlier : static_cast<float>(rng.normal());
  statistics.add("m", x.data(), kSampledToken * 200, kLinearCols);
  return statistics.modules().at("m");
}

TEST(InputScales, ClipWhereThatCostsLess) {
  const auto int8 = ActivationScheme::parse("int8_tensor").value();
  // Without outliers the largest value decides, more or less; a distant one is cut.
  EXPECT_GT(input_scale_for(int8, inputs_with(4)), 0.5F * 4 / 127.5F);
  const auto fp8 = ActivationScheme::parse("fp8_e4m3_tensor").value();
  const InputStatistics inputs = inputs_with(30);
  const float scale = input_scale_for(fp8, inputs);
  EXPECT_GE(scale * 448, 30 * 0.9F);
  EXPECT_LE(scale * 448, 30 * 4.1F);
}

TEST(InputScales, NeedTheLargestMagnitudes) {
  const auto fp8 = ActivationScheme::parse("fp8_e4m3_tensor").value();
  EXPECT_EQ(input_scale_for(fp8, InputStatistics{.sum_squares = {1, 2}, .absmax = {}, .tokens = 3}),
            0);
  auto nvfp4 = ActivationScheme::parse("nvfp4").value();
  const InputStatistics inputs{.sum_squares = {1, 2}, .absmax = {1, 3}, .tokens = 3};
  EXPECT_EQ(input_scale_for(nvfp4, inputs), 448.0F * 6.0F / 3.0F);
  nvfp4.tensor_scale = TensorScale::kMultiplies;
  EXPECT_FLOAT_EQ(input_scale_for(nvfp4, inputs), 3.0F / (448.0F * 6.0F));
}

}  // namespace
}  // namespace quantlane
