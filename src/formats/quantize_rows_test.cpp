#include <cmath>
#include <fstream>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "core/half.h"
#include "formats/ggml_inputs.h"
#include "formats/group_format.h"
#include "formats/random_values_for_test.h"

namespace quantlane {
namespace {

TEST(QuantizeRows, DecodesEveryGranularity) {
  const std::vector<float> values = normal_values(6 * 64, 1, 1);
  for (const char* spelling : {"int8_channel_sym", "int8_g32_asym", "int8_g16_sym",
                               "fp8_e4m3_channel", "int8_tensor_sym", "fp8_e4m3_tensor"}) {
    const Scheme scheme = Scheme::parse(spelling).value();
    const auto tensor = quantize_rows(scheme, values.data(), 6, 64, {}, 0.03F);
    ASSERT_TRUE(tensor) << tensor.error().message();
    std::vector<float> all(values.size());
    tensor->decode_rows(0, 6, all.data());
    std::vector<float> some(2 * 64);
    tensor->decode_rows(3, 2, some.data());
    for (std::size_t i = 0; i < some.size(); ++i) EXPECT_EQ(some[i], all[3 * 64 + i]);
    for (std::size_t i = 0; i < all.size(); ++i) {
      EXPECT_NEAR(all[i], values[i], 0.02 + 0.07 * std::abs(values[i])) << spelling;
    }
    EXPECT_EQ(tensor->zeros.empty(), scheme.symmetric);
  }
}

TEST(QuantizeRows, DecodesActOrderGroups) {
  QuantTensor tensor;
  tensor.scheme = Scheme::parse("int4_g2_asym").value();
  tensor.rows = 1;
  tensor.cols = 4;
  tensor.codes = {1, 2, 3, 15};
  tensor.scales = {10, 100};
  tensor.zeros = {1, 2};
  tensor.group_of_column = {1, 0, 0, 1};
  std::vector<float> values(4);
  tensor.decode_rows(0, 1, values.data());
  EXPECT_EQ(values, (std::vector<float>{-100, 10, 20, 1300}));
}

TEST(QuantizeRows, DecodesBlocksThatTheMatrixCutsOff) {
  const std::int64_t rows = 5;
  const std::int64_t cols = 10;
  const std::vector<float> values = normal_values(50, 1, 7);
  Scheme scheme = Scheme::parse("fp8_e4m3_b2x4").value();
  scheme.scale_dtype = DType::kF32;
  for (const bool weighted : {false, true}) {
    const std::vector<float> importance(weighted ? 10 : 0, 3.0F);
    const auto tensor = quantize_rows(scheme, values.data(), rows, cols, importance);
    ASSERT_TRUE(tensor) << tensor.error().message();
    ASSERT_EQ(tensor->scales.size(), 9U);
    std::vector<float> decoded(values.size());
    tensor->decode_rows(0, rows, decoded.data());
    std::vector<float> last(values.size());
    tensor->decode_rows(4, 1, last.data());
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = 0; c < cols; ++c) {
        float largest = 0;
        for (std::int64_t y = r / 2 * 2; y < std::min(rows, r / 2 * 2 + 2); ++y) {
          for (std::int64_t x = c / 4 * 4; x < std::min(cols, c / 4 * 4 + 4); ++x) {
            largest = std::max(largest, std::abs(values[static_cast<std::size_t>(y * cols + x)]));
          }
        }
        const auto i = static_cast<std::size_t>(r * cols + c);
        const float scale = tensor->scales[static_cast<std::size_t>(r / 2 * 3 + c / 4)];
        if (!weighted) {
          EXPECT_EQ(scale, largest / 448.0F);
        }
        EXPECT_EQ(decoded[i], e4m3_to_f32(f32_to_e4m3(values[i] / scale)) * scale);
        if (r == 4) {
          EXPECT_EQ(last[static_cast<std::size_t>(c)], decoded[i]);
        }
      }
    }
  }
}

TEST(QuantizeRows, ScalesOfTheTensorAndRoundingsApplyInOrder) {
  QuantTensor tensor;
  tensor.scheme = Scheme::parse("nvfp4").value();
  tensor.rows = 1;
  tensor.cols = 2;
  tensor.codes = {7, 0xB - 16};
  tensor.scales = {3.5F};
  tensor.tensor_scale = 700.0F;
  std::vector<float> values(2);
  tensor.decode_rows(0, 1, values.data());
  EXPECT_EQ(values, (std::vector<float>{6 * (3.5F / 700), -1.5F * (3.5F / 700)}));
  tensor.scheme.tensor_scale = TensorScale::kMultiplies;
  tensor.decode_rows(0, 1, values.data());
  EXPECT_EQ(values, (std::vector<float>{6 * (3.5F * 700), -1.5F * (3.5F * 700)}));
  tensor.scheme.tensor_scale = TensorScale::kDivides;
  tensor.scheme.rounding = {.scale = DType::kBF16, .value = DType::kF16};
  const float scale = bf16_to_f32(f32_to_bf16(3.5F / 700));
  tensor.decode_rows(0, 1, values.data());
  EXPECT_EQ(values, (std::vector<float>{f16_to_f32(f32_to_f16(6 * scale)),
                                        f16_to_f32(f32_to_f16(-1.5F * scale))}));
}

TEST(QuantizeRows, RowsDoNotDependOnEachOther) {
  const std::vector<float> values = normal_values(4 * 128, 1, 2);
  const Scheme scheme = Scheme::parse("int4_g64_sym").value();
  const std::vector<float> importance(128, 2.0F);
  const auto whole = quantize_rows(scheme, values.data(), 4, 128, importance).value();
  const auto last = quantize_rows(scheme, values.data() + 3 * 128, 1, 128, importance).value();
  EXPECT_EQ(std::vector(whole.codes.end() - 128, whole.codes.end()), last.codes);
  EXPECT_EQ(std::vector(whole.scales.end() - 2, whole.scales.end()), last.scales);
}

TEST(QuantizeRows, ErrorsSayWhatIsWrong) {
  std::vector<float> values = normal_values(2 * 96, 1, 3);
  const Scheme grouped = Scheme::parse("int4_g64_sym").value();
  const auto indivisible = quantize_rows(grouped, values.data(), 2, 96, {});
  ASSERT_FALSE(indivisible);
  EXPECT_NE(indivisible.error().message().find("96 columns"), std::string::npos);

  const Scheme channel = Scheme::parse("int8_channel_sym").value();
  EXPECT_FALSE(quantize_rows(channel, values.data(), 2, 96, std::vector<float>(95, 1.0F)));
  EXPECT_FALSE(quantize_rows(Scheme::parse("int8_tensor_sym").value(), values.data(), 2, 96, {}));

  values[96 + 5] = std::numeric_limits<float>::quiet_NaN();
  const auto poisoned = quantize_rows(channel, values.data(), 2, 96, {});
  ASSERT_FALSE(poisoned);
  EXPECT_NE(poisoned.error().message().find("row 1, column 5"), std::string::npos);
}

TEST(RoundActivations, FollowsTheFormulaPerToken) {
  std::vector<float> values = normal_values(3 * 50, 1, 4);
  std::fill(values.begin() + 50, values.begin() + 100, 0.0F);
  for (const bool fp8 : {false, true}) {
    std::vector<float> rounded = values;
    round_activations({.type = fp8 ? ValueType::kFloat : ValueType::kInt}, rounded.data(), 3, 50);
    for (std::size_t t = 0; t < 3; ++t) {
      float largest = 0;
      for (std::size_t i = 0; i < 50; ++i)
        largest = std::max(largest, std::abs(values[t * 50 + i]));
      for (std::size_t i = 0; i < 50; ++i) {
        const float x = values[t * 50 + i];
        float expected = 0;
        if (largest > 0) {
          const float scale = largest / (fp8 ? 448.0F : 127.5F);
          expected = fp8 ? e4m3_to_f32(f32_to_e4m3(x / scale)) * scale
                         : std::min(127.0F, std::nearbyint(x / scale)) * scale;
        }
        EXPECT_EQ(rounded[t * 50 + i], expected);
      }
    }
  }
}

// The 1024 values of a file below tests/data/formats.
std::vector<float> read_values(const std::string& name) {
  std::ifstream file(QUANTLANE_SOURCE_DIR "/tests/data/formats/" + name, std::ios::binary);
  std::vector<float> values(1024);
  file.read(reinterpret_cast<char*>(values.data()), 4096);
  EXPECT_TRUE(file.good()) << name;
  return values;
}

// tests/data/formats/ggml_inputs: what libggml-cpu makes of 1024 values (make_golden_inputs.py).
TEST(RoundActivations, GivesTheBlocksOfGgml) {
  const std::vector<float> values = read_values("ggml_inputs/values.f32");
  for (const auto& [name, scheme] :
       {std::pair{"q8_0.f32", kQ8_0Input}, std::pair{"q8_1.f32", kQ8_1Input},
        std::pair{"q8_k.f32", kQ8KInput}, std::pair{"f16.f32", kF16Input},
        std::pair{"bf16.f32", kBF16Input}}) {
    std::vector<float> rounded = values;
    round_activations(scheme, rounded.data(), 2, 512);
    EXPECT_EQ(rounded, read_values(std::string("ggml_inputs/") + name)) << name;
  }
}

// tests/data/formats/zero_point_inputs: what compressed-tensors makes of 16 tokens of 64 values
// (make_golden_zero_points.py).
TEST(RoundActivations, GivesTheZeroPointsOfCompressedTensors) {
  const std::vector<float> values = read_values("zero_point_inputs/values.f32");
  std::vector<float> rounded = values;
  round_activations(ActivationScheme::parse("int8_token_asym").value(), rounded.data(), 16, 64);
  EXPECT_EQ(rounded, read_values("zero_point_inputs/token.f32"));
  ActivationScheme fixed = ActivationScheme::parse("int8_tensor_asym").value();
  fixed.static_scale = 0.03F;
  fixed.static_zero = -37;
  rounded = values;
  round_activations(fixed, rounded.data(), 16, 64);
  EXPECT_EQ(rounded, read_values("zero_point_inputs/tensor.f32"));
}

TEST(RoundActivations, StaticScaleSaturates) {
  std::vector<float> values = {0.26F, -400.0F, 400.0F};
  round_activations({.granularity = Granularity::kTensor, .dynamic = false, .static_scale = 0.5F},
                    values.data(), 1, 3);
  EXPECT_EQ(values, (std::vector<float>{0.5F, -64.0F, 63.5F}));
}

// One group at a time, by the formulas of compressed-tensors.
TEST(RoundActivations, FollowsTheFormulaPerGroup) {
  std::vector<float> values = normal_values(2 * 96, 1, 5);
  std::fill(values.begin() + 32, values.begin() + 64, 0.0F);
  for (const char* spelling : {"fp8_e4m3_g32", "mxfp4", "mxfp8", "nvfp4"}) {
    ActivationScheme scheme = ActivationScheme::parse(spelling).value();
    scheme.static_scale = scheme.calibrated() ? 2688.0F / 3.0F : 0.0F;
    std::vector<float> rounded = values;
    round_activations(scheme, rounded.data(), 2, 96);
    const auto length = static_cast<std::size_t>(scheme.group_size);
    for (std::size_t begin = 0; begin < values.size(); begin += length) {
      float largest = 0;
      for (std::size_t i = begin; i < begin + length; ++i) {
        largest = std::max(largest, std::abs(values[i]));
      }
      const float code = scheme.bits == 4 ? 6.0F : 448.0F;
      float scale = largest / code;
      if (scheme.scale_dtype == DType::kF8E4M3) {
        scale = e4m3_to_f32(f32_to_e4m3(scheme.static_scale * scale)) / scheme.static_scale;
      } else if (scheme.scale_dtype == DType::kF8E8M0 && largest > 0) {
        int exponent = 0;
        const float mantissa = 2 * std::frexp(largest, &exponent);
        scale = std::ldexp(1.0F,
                           exponent - 1 + (mantissa >= 1.75F ? 1 : 0) - (scheme.bits == 4 ? 2 : 8));
      }
      for (std::size_t i = begin; i < begin + length; ++i) {
        const float step = values[i] / scale;
        const float expected = largest > 0 ? (scheme.bits == 4 ? e2m1_to_f32(f32_to_e2m1(step))
                                                               : e4m3_to_f32(f32_to_e4m3(step))) *
                                                 scale
                                           : 0.0F;
        EXPECT_EQ(rounded[i], expected) << spelling << " " << i;
      }
    }
  }
}

}  // namespace
}  // namespace quantlane
