#include "formats/kv_scheme.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/rng.h"

namespace quantlane {
namespace {

std::vector<float> noise(std::size_t count) {
  Rng rng(7);
  std::vector<float> values(count);
  for (float& value : values) value = 4 * (static_cast<float>(rng.uniform()) - 0.5F);
  return values;
}

KvRounding rounding(std::string_view name, std::int64_t heads, std::vector<float> scales = {}) {
  return {.scheme = *find_kv_scheme(name),
          .heads = heads,
          .key_scales = scales,
          .value_scales = std::move(scales)};
}

TEST(KvScheme, RoundingTwiceIsRoundingOnce) {
  for (const KvScheme& scheme : kv_schemes()) {
    std::vector<float> once = noise(2 * 3 * 16);
    const KvRounding rows = rounding(scheme.name, 3, {0.01F, 0.01F, 0.01F});
    rows.round(0, false, once.data(), 2, 16);
    std::vector<float> twice = once;
    rows.round(0, false, twice.data(), 2, 16);
    for (std::size_t i = 0; i < once.size(); ++i) {
      EXPECT_NEAR(twice[i], once[i], 2e-6F * std::abs(once[i])) << scheme.name;
    }
  }
}

TEST(KvScheme, IntegersErrByHalfAStepOfTheLargestValueOfTheirHead) {
  for (const auto& [name, levels] : {std::pair{"int8", 127.0F}, {"int4", 7.0F}}) {
    const std::vector<float> values = noise(4 * 2 * 8);
    std::vector<float> rounded = values;
    rounding(name, 2).round(0, true, rounded.data(), 4, 8);
    for (std::size_t head = 0; head < 8; ++head) {
      float largest = 0;
      for (std::size_t i = 0; i < 8; ++i) {
        largest = std::max(largest, std::abs(values[head * 8 + i]));
      }
      for (std::size_t i = 0; i < 8; ++i) {
        EXPECT_LE(std::abs(rounded[head * 8 + i] - values[head * 8 + i]),
                  0.5001F * largest / levels);
      }
    }
  }
}

TEST(KvScheme, Fp8IsExactOnItsOwnValuesAndSaturates) {
  // 1, 1.125 and -448 are E4M3 values; 1.06 lies between 1 and 1.125.
  std::vector<float> values = {0.5F, 0.5625F, -224.0F, 0.53F, 1e6F, 0.0F};
  rounding("fp8", 1, {0.5F}).round(0, false, values.data(), 1, 6);
  EXPECT_THAT(values, testing::ElementsAre(0.5F, 0.5625F, -224.0F, 0.5F, 224.0F, 0.0F));
}

TEST(KvScheme, ScalesBelongToTheirLayerAndHead) {
  // The second layer's second head has a scale of 1: 0.53 becomes a multiple of 1/16.
  std::vector<float> values = {0.53F, 0.53F};
  rounding("fp8_head", 2, {1, 1, 0.53F, 1}).round(1, true, values.data(), 1, 1);
  EXPECT_FLOAT_EQ(values[0], 0.53F);
  EXPECT_FLOAT_EQ(values[1], 0.5F);
}

TEST(KvScheme, ZerosStayZeros) {
  for (const KvScheme& scheme : kv_schemes()) {
    std::vector<float> values(8, 0.0F);
    rounding(scheme.name, 1, {1}).round(0, false, values.data(), 1, 8);
    EXPECT_THAT(values, testing::Each(0.0F));
  }
  EXPECT_EQ(kv_scale_for(0), 1);
  EXPECT_EQ(kv_scale_for(896), 2);
}

TEST(KvScheme, AnUnknownNameListsTheKnownOnes) {
  const auto unknown = find_kv_scheme("fp4");
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().code, ErrorCode::kUsage);
  EXPECT_THAT(unknown.error().expected, testing::HasSubstr("fp8_head"));
}

}  // namespace
}  // namespace quantlane
