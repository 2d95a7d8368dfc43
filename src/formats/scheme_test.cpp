#include "formats/scheme.h"

#include <gtest/gtest.h>

namespace quantlane {
namespace {

TEST(Scheme, SpellingsSurviveARoundTrip) {
  for (const char* spelling :
       {"int4_g128_sym", "int4_g32_asym", "int8_channel_sym", "int2_g64_sym", "int8_tensor_sym",
        "fp8_e4m3_channel", "fp8_e4m3_tensor", "fp8_e4m3_g128", "fp8_e4m3_b128x64", "fp4_e2m1_g32",
        "nf4_g64", "nvfp4", "mxfp4", "mxfp8"}) {
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
  for (const char* spelling : {"",
                               "int4",
                               "int1_g128_sym",
                               "int9_g128_sym",
                               "int4_g0_sym",
                               "int4_g-1_sym",
                               "int4_g_sym",
                               "int4_g128_symm",
                               "int4_g0128_sym",
                               "int4_g128_sym_",
                               "_int4_g128_sym",
                               "fp8_e5m2_channel",
                               "fp8_e4m3_sym",
                               "int4_g99999999999_sym",
                               "uint4_g128_sym",
                               "int4x_g128_sym",
                               "int4_token_sym",
                               "int4 _g128_sym",
                               "fp8_e4m3_b128",
                               "fp8_e4m3_b128x",
                               "fp8_e4m3_bx128",
                               "fp8_e4m3_b0x128",
                               "int8_b128x128_sym",
                               "nf4_channel",
                               "nf4_g0",
                               "nf4",
                               "nvfp4_g16",
                               "fp4_e4m3_g32"}) {
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
  EXPECT_DOUBLE_EQ(Scheme::parse("nvfp4")->bits_per_weight(4096), 4.5);
  EXPECT_DOUBLE_EQ(Scheme::parse("mxfp4")->bits_per_weight(4096), 4.25);
  EXPECT_DOUBLE_EQ(Scheme::parse("mxfp8")->bits_per_weight(4096), 8.25);
  EXPECT_DOUBLE_EQ(Scheme::parse("nf4_g64")->bits_per_weight(4096), 4.5);
  EXPECT_DOUBLE_EQ(Scheme::parse("fp8_e4m3_b128x128")->bits_per_weight(4096), 8 + 16.0 / 16384);
  EXPECT_EQ(Scheme::parse("int4_g128_sym")->groups_per_row(4096), 32);
  EXPECT_EQ(Scheme::parse("int8_channel_sym")->groups_per_row(4096), 1);
}

TEST(Scheme, FindsTheScalesOfARow) {
  const Scheme block = *Scheme::parse("fp8_e4m3_b128x64");
  EXPECT_EQ(block.groups_per_row(200), 4);
  EXPECT_EQ(block.scale_count(300, 200), 12);
  EXPECT_EQ(block.first_scale(127, 200), 0);
  EXPECT_EQ(block.first_scale(128, 200), 4);
  EXPECT_EQ(block.first_scale(299, 200), 8);
  const Scheme group = *Scheme::parse("int4_g32_sym");
  EXPECT_EQ(group.scale_count(3, 64), 6);
  EXPECT_EQ(group.first_scale(2, 64), 4);
  const Scheme tensor = *Scheme::parse("fp8_e4m3_tensor");
  EXPECT_EQ(tensor.scale_count(3, 64), 1);
  EXPECT_EQ(tensor.first_scale(2, 64), 0);
}

TEST(ActivationScheme, SpellsWhatItParses) {
  for (const char* spelling :
       {"int8_token", "fp8_e4m3_token", "int8_tensor", "fp8_e4m3_tensor", "fp8_e4m3_g128", "nvfp4",
        "mxfp4", "mxfp8", "int8_token_asym", "int8_tensor_asym"}) {
    EXPECT_EQ(ActivationScheme::parse(spelling)->spelling(), spelling);
  }
}

TEST(ActivationScheme, ParsesEverySpelling) {
  const auto nvfp4 = ActivationScheme::parse("nvfp4");
  ASSERT_TRUE(nvfp4);
  EXPECT_EQ(*nvfp4, (ActivationScheme{.type = ValueType::kFloat,
                                      .bits = 4,
                                      .granularity = Granularity::kGroup,
                                      .group_size = 16,
                                      .scale_dtype = DType::kF8E4M3,
                                      .tensor_scale = TensorScale::kDivides}));
  EXPECT_TRUE(nvfp4->calibrated());
  EXPECT_EQ(ActivationScheme::parse("int8_token").value(), ActivationScheme{});
  const auto fixed = ActivationScheme::parse("fp8_e4m3_tensor");
  ASSERT_TRUE(fixed);
  EXPECT_FALSE(fixed->dynamic);
  EXPECT_TRUE(fixed->calibrated());
  EXPECT_EQ(ActivationScheme::parse("fp8_e4m3_g128")->group_size, 128);
  EXPECT_EQ(ActivationScheme::parse("mxfp8")->scale_dtype, DType::kF8E8M0);
  EXPECT_FALSE(ActivationScheme::parse("mxfp4")->calibrated());
  for (const char* spelling :
       {"", "token", "tensor", "int8", "int8_", "int4_token", "fp8_e4m3_channel", "fp8_e4m3_g0",
        "int8_g128", "nf4_g64", "int8_token_", "fp8_e4m3_token_asym", "int8_asym"}) {
    EXPECT_FALSE(ActivationScheme::parse(spelling)) << spelling;
  }
}

}  // namespace
}  // namespace quantlane
