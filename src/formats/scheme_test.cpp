#include "formats/scheme.h"

#include <gtest/gtest.h>

namespace quantlane {
namespace {

TEST(Scheme, SpellingsSurviveARoundTrip) {
  for (const char* spelling :
       {"int4_g128_sym", "int4_g32_asym", "int8_channel_sym", "int2_g64_sym", "int8_tensor_sym",
        "fp8_e4m3_channel", "fp8_e4m3_tensor", "fp8_e4m3_g128"}) {
    const auto scheme = Scheme::parse(spelling);
    ASSERT_TRUE(scheme) << scheme.error().message();
    EXPECT_EQ(scheme->spelling(), spelling);
  }
}

TEST(Scheme, ParsesEveryField) {
  const auto scheme = Scheme::parse("int3_g64_asym");
  ASSERT_TRUE(scheme);
  EXPECT_EQ(*scheme, (Scheme{.type = ValueType::kInt,
                             .bits = 3,
                             .symmetric = false,
                             .granularity = Granularity::kGroup,
                             .group_size = 64,
                             .scale_dtype = DType::kBF16}));
  const auto fp8 = Scheme::parse("fp8_e4m3_channel");
  ASSERT_TRUE(fp8);
  EXPECT_EQ(fp8->type, ValueType::kFloat);
  EXPECT_EQ(fp8->bits, 8);
  EXPECT_TRUE(fp8->symmetric);
  EXPECT_EQ(fp8->granularity, Granularity::kChannel);
}

TEST(Scheme, RefusesWhatItCannotMean) {
  for (const char* spelling :
       {"", "int4", "int1_g128_sym", "int9_g128_sym", "int4_g0_sym", "int4_g-1_sym", "int4_g_sym",
        "int4_g128_symm", "int4_g0128_sym", "int4_g128_sym_", "_int4_g128_sym", "fp8_e5m2_channel",
        "fp8_e4m3_sym", "int4_g99999999999_sym", "uint4_g128_sym", "int4x_g128_sym",
        "int4_token_sym", "int4 _g128_sym"}) {
    const auto scheme = Scheme::parse(spelling);
    ASSERT_FALSE(scheme) << spelling;
    EXPECT_EQ(scheme.error().code, ErrorCode::kInvalidArgument);
    EXPECT_FALSE(scheme.error().expected.empty());
  }
}

TEST(Scheme, CountsStoredBits) {
  // 4 bits and one 16-bit scale per 128 values; with a zero point 4 bits more.
  EXPECT_DOUBLE_EQ(Scheme::parse("int4_g128_sym")->bits_per_weight(4096), 4.125);
  EXPECT_DOUBLE_EQ(Scheme::parse("int4_g128_asym")->bits_per_weight(4096), 4.15625);
  EXPECT_DOUBLE_EQ(Scheme::parse("int8_channel_sym")->bits_per_weight(4096), 8 + 16.0 / 4096);
  EXPECT_DOUBLE_EQ(Scheme::parse("fp8_e4m3_tensor")->bits_per_weight(4096), 8);
  EXPECT_EQ(Scheme::parse("int4_g128_sym")->groups_per_row(4096), 32);
  EXPECT_EQ(Scheme::parse("int8_channel_sym")->groups_per_row(4096), 1);
}

}  // namespace
}  // namespace quantlane
