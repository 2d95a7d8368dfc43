// Properties that every row of group_formats() must have, over the schemes it holds.
#include "formats/group_format.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/half.h"
#include "formats/random_values_for_test.h"

namespace quantlane {
namespace {

Scheme scheme_of(const char* spelling, DType scale_dtype = DType::kBF16) {
  Scheme scheme = Scheme::parse(spelling).value();
  scheme.scale_dtype = scale_dtype;
  return scheme;
}

std::vector<float> round_trip(const Scheme& scheme, const std::vector<float>& values,
                              GroupParams params) {
  const GroupFormat* format = group_format_for(scheme);
  std::vector<std::int8_t> codes(values.size());
  std::vector<float> decoded(values.size());
  format->project(values, params, scheme, codes.data());
  format->decode(codes.data(), static_cast<std::int64_t>(codes.size()), params, scheme,
                 decoded.data());
  return decoded;
}

double squared_error(const std::vector<float>& a, const std::vector<float>& b,
                     const std::vector<float>& w = {}) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    sum += (w.empty() ? 1.0 : static_cast<double>(w[i])) * difference * difference;
  }
  return sum;
}

class Schemes : public testing::TestWithParam<const char*> {
 protected:
  static Scheme scheme(DType dtype = DType::kBF16) { return scheme_of(GetParam(), dtype); }
  static const GroupFormat& format() { return *group_format_for(scheme()); }
};

INSTANTIATE_TEST_SUITE_P(Table, Schemes,
                         testing::Values("int2_g64_sym", "int3_g128_sym", "int4_g128_sym",
                                         "int5_g32_sym", "int8_channel_sym", "int2_g64_asym",
                                         "int3_g128_asym", "int4_g128_asym", "int8_g128_asym",
                                         "fp8_e4m3_channel", "fp8_e4m3_g128", "fp4_e2m1_g32",
                                         "nf4_g64"),
                         [](const auto& test) { return std::string(test.param); });

constexpr DType kScaleTypes[] = {DType::kBF16, DType::kF16, DType::kF32};

TEST_P(Schemes, WeightedFitIsNeverWorseThanAbsmax) {
  for (const DType dtype : kScaleTypes) {
    const Scheme s = scheme(dtype);
    for (std::uint64_t seed = 1; seed <= 40; ++seed) {
      std::vector<float> values = normal_values(128, 0.02, seed);
      if (seed % 3 == 0) values[seed] *= 20;
      if (seed % 5 == 0) {
        for (float& value : values) value = std::abs(value);
      }
      if (seed % 7 == 0) {
        for (float& value : values) value -= 0.3F;
      }
      const std::vector<float> importance = lognormal(128, seed + 100);
      for (const bool weighted : {true, false}) {
        const std::vector<float> w = weighted ? importance : std::vector<float>{};
        const double absmax =
            squared_error(round_trip(s, values, format().fit_absmax(values, s)), values, w);
        const double fitted =
            squared_error(round_trip(s, values, format().fit_weighted(values, w, s)), values, w);
        EXPECT_LE(fitted, absmax * (1 + 1e-5)) << "seed " << seed << " weighted " << weighted;
      }
    }
  }
}

// The symmetric codes are among those with a zero point.
TEST(GroupFormats, AZeroPointNeverCosts) {
  for (int bits = 2; bits <= 8; ++bits) {
    Scheme symmetric = Scheme::parse("int" + std::to_string(bits) + "_g64_sym").value();
    Scheme asymmetric = Scheme::parse("int" + std::to_string(bits) + "_g64_asym").value();
    asymmetric.scale_dtype = symmetric.scale_dtype;
    for (std::uint64_t seed = 1; seed <= 60; ++seed) {
      std::vector<float> values = normal_values(64, 0.02, seed);
      if (seed % 4 == 0) values[seed % 64] *= 8;
      const std::vector<float> w = lognormal(64, seed + 500);
      const auto error = [&](const Scheme& s) {
        return squared_error(round_trip(s, values, group_format_for(s)->fit_weighted(values, w, s)),
                             values, w);
      };
      EXPECT_LE(error(asymmetric), error(symmetric) * (1 + 1e-5)) << bits << ' ' << seed;
    }
  }
}

TEST_P(Schemes, ScalesAreStorableAndZerosAreCodes) {
  for (const DType dtype : kScaleTypes) {
    const Scheme s = scheme(dtype);
    for (const double sigma : {1e-41, 1e-12, 0.02, 1e6, 1e30, 8e37}) {
      const std::vector<float> values = normal_values(64, sigma, 3);
      for (const GroupParams params :
           {format().fit_absmax(values, s), format().fit_weighted(values, lognormal(64, 4), s)}) {
        ASSERT_TRUE(std::isfinite(params.scale) && params.scale > 0) << sigma;
        const float stored = dtype == DType::kF16    ? f16_to_f32(f32_to_f16(params.scale))
                             : dtype == DType::kBF16 ? bf16_to_f32(f32_to_bf16(params.scale))
                                                     : params.scale;
        EXPECT_EQ(stored, params.scale);
        EXPECT_EQ(params.zero, std::floor(params.zero));
        EXPECT_GE(params.zero, 0);
        EXPECT_LT(params.zero, s.symmetric ? 1 : 1 << s.bits);
        for (const float value : round_trip(s, values, params)) {
          ASSERT_TRUE(std::isfinite(value)) << sigma;
        }
      }
    }
  }
}

TEST_P(Schemes, ZeroGroupsDecodeToZero) {
  const std::vector<float> zeros(32, 0.0F);
  for (const DType dtype : kScaleTypes) {
    const Scheme s = scheme(dtype);
    for (const GroupParams params :
         {format().fit_absmax(zeros, s), format().fit_weighted(zeros, {}, s)}) {
      EXPECT_GT(params.scale, 0);
      for (const float value : round_trip(s, zeros, params)) EXPECT_EQ(value, 0.0F);
    }
  }
}

// Brute force: no other code is nearer.
TEST_P(Schemes, ProjectFindsTheNearestCode) {
  const Scheme s = scheme();
  const std::vector<float> values = normal_values(200, 1, 5);
  const GroupParams params = format().fit_absmax(values, s);
  const std::vector<float> nearest = round_trip(s, values, params);
  const int first = s.type == ValueType::kInt && s.symmetric ? -(1 << (s.bits - 1)) : 0;
  const int last = s.type == ValueType::kFloat ? 255 : first + (1 << s.bits) - 1;
  for (std::size_t i = 0; i < values.size(); ++i) {
    for (int code = first; code <= last; ++code) {
      const auto stored = static_cast<std::int8_t>(code);
      float value;
      format().decode(&stored, 1, params, s, &value);
      if (std::isnan(value)) continue;
      EXPECT_LE(std::abs(nearest[i] - values[i]), std::abs(value - values[i]) * 1.000001F)
          << values[i] << " code " << code;
    }
  }
}

TEST_P(Schemes, DecodedValuesProjectToThemselves) {
  const Scheme s = scheme();
  const std::vector<float> values = normal_values(128, 0.02, 6);
  const GroupParams params = format().fit_weighted(values, {}, s);
  const std::vector<float> once = round_trip(s, values, params);
  EXPECT_EQ(round_trip(s, once, params), once);
}

TEST(GroupFormats, FewBitsGainMostFromTheSearch) {
  // Against plain round-to-nearest on Gaussian groups; a change that loses the gain must fail here.
  const std::pair<const char*, double> gains[] = {
      {"int2_g128_sym", 0.75},  {"int3_g128_sym", 0.84},  {"int4_g128_sym", 0.92},
      {"int2_g128_asym", 0.73}, {"int3_g128_asym", 0.87}, {"int4_g128_asym", 0.947}};
  for (const auto& [spelling, ratio] : gains) {
    const Scheme s = scheme_of(spelling, DType::kF16);
    double plain = 0;
    double fitted = 0;
    for (std::uint64_t seed = 0; seed < 64; ++seed) {
      const std::vector<float> values = normal_values(128, 0.02, seed);
      const GroupFormat& format = *group_format_for(s);
      plain += squared_error(round_trip(s, values, format.fit_absmax(values, s)), values);
      fitted += squared_error(round_trip(s, values, format.fit_weighted(values, {}, s)), values);
    }
    EXPECT_LT(std::sqrt(fitted / plain), ratio) << spelling;
    RecordProperty(spelling, std::to_string(std::sqrt(fitted / plain)));
  }
}

TEST(GroupFormats, SymmetricScalesFollowCompressedTensors) {
  const std::vector<float> values = {-3.0F, 1.0F, 2.5F, 0.1F};
  const Scheme int4 = scheme_of("int4_g4_sym", DType::kF32);
  EXPECT_EQ(group_format_for(int4)->fit_absmax(values, int4).scale, 3.0F / 7.5F);
  const Scheme int8 = scheme_of("int8_channel_sym", DType::kF32);
  EXPECT_EQ(group_format_for(int8)->fit_absmax(values, int8).scale, 3.0F / 127.5F);
  const Scheme fp8 = scheme_of("fp8_e4m3_channel", DType::kF32);
  EXPECT_EQ(group_format_for(fp8)->fit_absmax(values, fp8).scale, 3.0F / 448.0F);
  const Scheme asym = scheme_of("int4_g4_asym", DType::kF32);
  const GroupParams params = group_format_for(asym)->fit_absmax(values, asym);
  EXPECT_EQ(params.scale, 5.5F / 15.0F);
  EXPECT_EQ(params.zero, 8);  // 3 / (5.5 / 15) = 8.18
}

// By compressed-tensors 0.20 (calculate_qparams): values per group, the scale it stores.
TEST(GroupFormats, SharedPowersOfTwoFollowCompressedTensors) {
  const Scheme mxfp4 = Scheme::parse("mxfp4").value();
  const Scheme mxfp8 = Scheme::parse("mxfp8").value();
  const struct {
    float largest;
    float fp4;
    float fp8;
  } kCases[] = {
      {1.0F, 0.25F, 0x1p-8F},      {1.5F, 0.25F, 0x1p-8F}, {1.7499F, 0.25F, 0x1p-8F},
      {1.75F, 0.5F, 0x1p-7F},      {6.0F, 1.0F, 0x1p-6F},  {6.99F, 1.0F, 0x1p-6F},
      {7.0F, 2.0F, 0x1p-5F},       {8.0F, 2.0F, 0x1p-5F},  {0x1p-126F, 0x1p-126F, 0x1p-126F},
      {0.0F, 0x1p-126F, 0x1p-126F}};
  for (const auto& c : kCases) {
    const std::vector<float> values = {0, -c.largest, c.largest / 3};
    EXPECT_EQ(group_format_for(mxfp4)->fit_absmax(values, mxfp4).scale, c.fp4) << c.largest;
    EXPECT_EQ(group_format_for(mxfp8)->fit_absmax(values, mxfp8).scale, c.fp8) << c.largest;
  }
}

TEST(GroupFormats, ScalesOfScalesAreStorable) {
  const Scheme nvfp4 = Scheme::parse("nvfp4").value();
  const GroupFormat& format = *group_format_for(nvfp4);
  for (const float amax : {0.0F, 1e-30F, 0.5F, 3e38F}) {
    const float divisor = tensor_scale_for(nvfp4, amax);
    ASSERT_TRUE(divisor > 0 && std::isfinite(divisor)) << amax;
    for (std::uint64_t seed = 1; seed < 20; ++seed) {
      std::vector<float> values = normal_values(16, 0.2 * static_cast<double>(amax), seed);
      for (float& value : values) value = std::clamp(value, -amax, amax);
      for (const bool weighted : {false, true}) {
        const FittedGroup fitted = fit_group(format, values, {}, weighted, nvfp4, divisor);
        EXPECT_EQ(e4m3_to_f32(f32_to_e4m3(fitted.stored)), fitted.stored);
        EXPECT_GT(fitted.stored, 0);
        EXPECT_EQ(fitted.params.scale, fitted.stored / divisor);
        for (const float value : round_trip(nvfp4, values, fitted.params)) {
          EXPECT_TRUE(std::isfinite(value));
        }
      }
    }
  }
  Scheme factor = nvfp4;
  factor.tensor_scale = TensorScale::kMultiplies;
  EXPECT_FLOAT_EQ(tensor_scale_for(factor, 2.0F) * tensor_scale_for(nvfp4, 2.0F), 1);
  EXPECT_EQ(tensor_scale_for(Scheme::parse("fp8_e4m3_channel").value(), 2.0F), 1);
  Scheme whole = Scheme::parse("fp8_e4m3_tensor").value();
  whole.scale_dtype = DType::kF32;
  EXPECT_EQ(tensor_scale_for(whole, 2.0F), 2.0F / 448);
}

TEST(GroupFormats, FourBitFloatsGainFromTheSearch) {
  const std::pair<const char*, double> gains[] = {
      {"nvfp4", 0.91}, {"mxfp4", 0.995}, {"nf4_g64", 0.94}};
  for (const auto& [spelling, ratio] : gains) {
    const Scheme s = Scheme::parse(spelling).value();
    const GroupFormat& format = *group_format_for(s);
    double plain = 0;
    double fitted = 0;
    for (std::uint64_t seed = 0; seed < 256; ++seed) {
      const std::vector<float> values =
          normal_values(static_cast<std::size_t>(s.group_size), 0.02, seed);
      const auto error = [&](bool weighted) {
        const FittedGroup group = fit_group(format, values, {}, weighted, s, 2688.0F / 0.1F);
        return squared_error(round_trip(s, values, group.params), values);
      };
      plain += error(false);
      fitted += error(true);
    }
    EXPECT_LT(std::sqrt(fitted / plain), ratio) << spelling;
    RecordProperty(spelling, std::to_string(std::sqrt(fitted / plain)));
  }
}

TEST(GroupFormats, NoFormatHoldsImpossibleSchemes) {
  Scheme scheme = scheme_of("int4_g128_sym");
  scheme.granularity = Granularity::kToken;
  EXPECT_EQ(group_format_for(scheme), nullptr);
  scheme = scheme_of("int4_g128_sym");
  scheme.bits = 9;
  EXPECT_EQ(group_format_for(scheme), nullptr);
  scheme = scheme_of("fp8_e4m3_channel");
  scheme.symmetric = false;
  EXPECT_EQ(group_format_for(scheme), nullptr);
  scheme = scheme_of("int4_g128_sym", DType::kI8);
  EXPECT_EQ(group_format_for(scheme), nullptr);
  for (const char* spelling : {"fp8_e4m3_channel", "int4_g128_sym", "nf4_g64"}) {
    scheme = scheme_of(spelling);
    scheme.tensor_scale = TensorScale::kDivides;
    EXPECT_EQ(group_format_for(scheme), nullptr) << spelling;
  }
}

}  // namespace
}  // namespace quantlane
