#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/rng.h"
#include "formats/ggml_inputs.h"
#include "formats/group_format.h"
#include "kernels/activation/activation_table.h"

namespace quantlane::kernels {
namespace {

class ActivationRows : public testing::TestWithParam<ActivationRow> {
 protected:
  void SetUp() override {
    if (GetParam().isa > cpu_info().best) {
      GTEST_SKIP() << "this processor lacks " << isa_name(GetParam().isa);
    }
  }
  // The same bits as the scalar code; NaN where that has NaN.
  void expect_same(const ActivationScheme& scheme, std::vector<float> values, std::int64_t tokens) {
    const auto cols = static_cast<std::int64_t>(values.size()) / tokens;
    std::vector<float> expected = values;
    quantlane::round_activations(scheme, expected.data(), tokens, cols);
    const std::vector<float> before = values;
    round_activations_with(GetParam(), scheme, values.data(), tokens, cols);
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (std::isnan(expected[i])) {
        EXPECT_TRUE(std::isnan(values[i])) << before[i];
      } else {
        EXPECT_EQ(std::bit_cast<std::uint32_t>(values[i]),
                  std::bit_cast<std::uint32_t>(expected[i]))
            << before[i] << " gave " << values[i] << " not " << expected[i];
      }
    }
  }
};

const ActivationScheme kInt8 = {.type = ValueType::kInt,
                                .bits = 8,
                                .granularity = Granularity::kToken,
                                .dynamic = true,
                                .static_scale = 0};
const ActivationScheme kE4M3 = {.type = ValueType::kFloat,
                                .bits = 8,
                                .granularity = Granularity::kToken,
                                .dynamic = true,
                                .static_scale = 0};

std::vector<ActivationScheme> schemes() {
  std::vector<ActivationScheme> all = {kInt8, kE4M3, kInt8, kE4M3, kInt8};
  for (const std::size_t i : {std::size_t{2}, std::size_t{3}}) {
    all[i].dynamic = false;
    all[i].granularity = Granularity::kTensor;
    all[i].static_scale = 0.0123F;
  }
  all[4].bits = 4;
  for (const char* spelling : {"int8_token_asym", "int8_tensor_asym", "fp8_e4m3_g128",
                               "fp8_e4m3_g7", "mxfp4", "mxfp8", "nvfp4"}) {
    all.push_back(ActivationScheme::parse(spelling).value());
    if (all.back().calibrated()) all.back().static_scale = 100;
  }
  all.push_back(all.back());
  all.back().tensor_scale = TensorScale::kMultiplies;
  for (const ActivationScheme& scheme : {kQ8_0Input, kQ8KInput, kF16Input, kBF16Input}) {
    all.push_back(scheme);
  }
  return all;
}

TEST_P(ActivationRows, MatchesTheScalarCode) {
  Rng rng(1);
  for (const ActivationScheme& scheme : schemes()) {
    for (const std::int64_t cols : {1, 3, 8, 15, 16, 17, 33, 64, 100, 577}) {
      for (const std::int64_t tokens : {1, 3, 70}) {
        std::vector<float> values(static_cast<std::size_t>(tokens * cols));
        for (float& v : values) v = static_cast<float>(rng.normal() * std::exp(3 * rng.normal()));
        expect_same(scheme, values, tokens);
      }
    }
  }
}

// Patterns over the whole range of floats, with a static scale so that each meets every code.
TEST_P(ActivationRows, MatchesTheScalarCodeOnAllMagnitudes) {
  for (ActivationScheme scheme : {kInt8, kE4M3, kF16Input, kBF16Input}) {
    scheme.dynamic = false;
    scheme.granularity = Granularity::kTensor;
    for (const float scale : {1.0F, 0.7F, 3e-5F}) {
      scheme.static_scale = scale;
      std::vector<float> values;
      for (std::uint64_t bits = 0; bits < (1ULL << 32); bits += 16661) {
        values.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
      }
      for (int i = -4000; i <= 4000; ++i) {
        values.push_back(static_cast<float>(i) * 0x1p-11F);  // ties of the subnormals and more
        values.push_back(static_cast<float>(i) * 0.125F);
      }
      expect_same(scheme, values, 1);
    }
  }
}

TEST_P(ActivationRows, ZeroRowsTinyRowsAndBadValues) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  for (const ActivationScheme& scheme : schemes()) {
    expect_same(scheme, std::vector<float>(21, 0.0F), 1);
    expect_same(scheme, std::vector<float>(21, -0.0F), 1);
    expect_same(scheme, std::vector<float>(21, 1e-45F), 1);
    expect_same(scheme, std::vector<float>(21, 1e-40F), 1);
    std::vector<float> bad(40, 0.75F);
    bad[3] = kNan;
    bad[22] = -kNan;
    bad[39] = -1.0F;
    expect_same(scheme, bad, 2);
    bad[7] = -kInfinity;
    expect_same(scheme, bad, 2);
    expect_same(scheme, std::vector<float>(64, 3e38F), 1);
  }
}

INSTANTIATE_TEST_SUITE_P(Table, ActivationRows,
                         testing::ValuesIn(activation_rows().begin(), activation_rows().end()),
                         [](const auto& row) { return std::string(isa_name(row.param.isa)); });

}  // namespace
}  // namespace quantlane::kernels
