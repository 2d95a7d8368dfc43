#include "core/half.h"

#include <cmath>
#include <cstring>
#include <utility>

#include <gtest/gtest.h>

#include "core/rng.h"

namespace quantlane {
namespace {

// Nearest code by brute force over all finite codes, ties to the even code.
template <class Code, class Decode>
Code nearest(float value, int codes, Decode decode) {
  Code best = 0;
  double best_distance = 1e300;
  for (int i = 0; i < codes; ++i) {
    const auto code = static_cast<Code>(i);
    const float candidate = decode(code);
    if (!std::isfinite(candidate) || std::signbit(candidate) != std::signbit(value)) continue;
    const double distance = std::abs(static_cast<double>(candidate) - static_cast<double>(value));
    if (distance < best_distance || (distance == best_distance && (code & 1) == 0)) {
      best = code;
      best_distance = distance;
    }
  }
  return best;
}

TEST(Half, EveryE4m3CodeSurvivesARoundTrip) {
  for (int code = 0; code < 256; ++code) {
    const float value = e4m3_to_f32(static_cast<std::uint8_t>(code));
    if (std::isnan(value)) continue;
    EXPECT_EQ(f32_to_e4m3(value), code) << code;
  }
}

TEST(Half, E4m3RoundsToNearestEven) {
  Rng rng(1);
  for (int i = 0; i < 20000; ++i) {
    const auto value = static_cast<float>(rng.normal() * std::exp2(rng.uniform() * 20 - 12));
    if (std::abs(value) > 448) continue;
    EXPECT_EQ(f32_to_e4m3(value), nearest<std::uint8_t>(value, 256, e4m3_to_f32)) << value;
  }
  EXPECT_EQ(f32_to_e4m3(1e9F), 0x7E);
  EXPECT_EQ(f32_to_e4m3(-460.0F), 0xFE);
  EXPECT_EQ(f32_to_e4m3(1.0F), 0x38);
}

TEST(Half, EveryF16CodeSurvivesARoundTrip) {
  for (int code = 0; code < 65536; ++code) {
    const float value = f16_to_f32(static_cast<std::uint16_t>(code));
    if (std::isnan(value)) continue;
    ASSERT_EQ(f32_to_f16(value), code);
  }
}

TEST(Half, F16RoundsLikeTheCompiler) {
  Rng rng(2);
  for (int i = 0; i < 200000; ++i) {
    const auto value = static_cast<float>(rng.normal() * std::exp2(rng.uniform() * 44 - 27));
    const auto expected = static_cast<_Float16>(value);
    std::uint16_t bits = 0;
    std::memcpy(&bits, &expected, 2);
    ASSERT_EQ(f32_to_f16(value), bits) << value;
  }
}

TEST(Half, Bf16RoundsToNearestEven) {
  EXPECT_EQ(f32_to_bf16(1.0F), 0x3F80);
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3F808000U)), 0x3F80);  // tie, even below
  EXPECT_EQ(f32_to_bf16(std::bit_cast<float>(0x3F818000U)), 0x3F82);  // tie, even above
  EXPECT_TRUE(std::isnan(bf16_to_f32(f32_to_bf16(std::nanf("")))));
}

TEST(E2M1, RoundsToTheNearestHalfToEven) {
  // Each code, the halfway points and their neighbours, against the nearest by search.
  for (int step = -700; step <= 700; ++step) {
    for (const float shift : {0.0F, 1e-6F, -1e-6F}) {
      const float value = 0.01F * static_cast<float>(step) + shift;
      const float found = e2m1_to_f32(f32_to_e2m1(value));
      float nearest = 7;
      for (int code = 0; code < 16; ++code) {
        const float candidate = e2m1_to_f32(static_cast<std::uint8_t>(code));
        if (std::abs(candidate - value) < nearest) nearest = std::abs(candidate - value);
      }
      EXPECT_EQ(std::abs(found - value), nearest) << value;
    }
  }
  const std::pair<float, float> ties[] = {{0.25F, 0.0F}, {0.75F, 1.0F}, {1.25F, 1.0F},
                                          {1.75F, 2.0F}, {2.5F, 2.0F},  {3.5F, 4.0F},
                                          {5.0F, 4.0F},  {100.0F, 6.0F}};
  for (const auto& [value, rounded] : ties) {
    EXPECT_EQ(e2m1_to_f32(f32_to_e2m1(value)), rounded) << value;
    EXPECT_EQ(e2m1_to_f32(f32_to_e2m1(-value)), -rounded) << value;
  }
  for (int code = 0; code < 16; ++code) {
    EXPECT_EQ(f32_to_e2m1(e2m1_to_f32(static_cast<std::uint8_t>(code))), code);
  }
  EXPECT_EQ(f32_to_e2m1(-0.1F), 8);
}

TEST(E8M0, IsAPowerOfTwo) {
  for (int code = 0; code < 255; ++code) {
    const float value = e8m0_to_f32(static_cast<std::uint8_t>(code));
    EXPECT_EQ(value, std::ldexp(1.0F, code - 127));
    EXPECT_EQ(f32_to_e8m0(value), code);
  }
  EXPECT_TRUE(std::isnan(e8m0_to_f32(255)));
}

}  // namespace
}  // namespace quantlane
