#include "quantize/scale_reach.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/group_format.h"
#include "formats/random_values_for_test.h"

namespace quantlane {
namespace {

using testing::HasSubstr;

Result<void> reach_of(const std::string& spelling, DType scales, float outlier) {
  constexpr std::int64_t kCols = 256;
  auto values = normal_values(2 * kCols, 0.02F, 7);
  values[kCols + 3] = outlier;
  Scheme scheme = Scheme::parse(spelling).value();
  if (scheme.scale_dtype != DType::kF8E8M0 && scheme.tensor_scale == TensorScale::kNone)
    scheme.scale_dtype = scales;
  const auto tensor = quantize_rows(scheme, values.data(), 2, kCols, {},
                                    tensor_scale_for(scheme, std::abs(outlier)));
  return check_reach(values.data(), tensor.value(), 10, "up_proj");
}

TEST(ScaleReach, ValuesThatScalesCutOrThatDecodeToInfinityAreRefused) {
  for (const float sign : {1.0F, -1.0F}) {
    for (const char* spelling : {"int4_g128_sym", "int4_g128_asym"}) {
      EXPECT_TRUE(reach_of(spelling, DType::kF16, sign * 6e4F)) << spelling;
      const auto beyond = reach_of(spelling, DType::kF16, sign * 1e30F);
      ASSERT_FALSE(beyond) << spelling;
      EXPECT_THAT(beyond.error().found, HasSubstr("in row 11, column 3"));
      EXPECT_TRUE(reach_of(spelling, DType::kBF16, sign * 2.5e38F)) << spelling;
    }
    EXPECT_TRUE(reach_of("fp8_e4m3_channel", DType::kBF16, sign * 3.3e38F));
    EXPECT_TRUE(reach_of("mxfp4", DType::kF8E8M0, sign * 1e38F));
    EXPECT_FALSE(reach_of("mxfp4", DType::kF8E8M0, sign * 3.3e38F));
    EXPECT_TRUE(reach_of("nvfp4", DType::kF8E4M3, sign * 1e30F));
    EXPECT_FALSE(reach_of("nvfp4", DType::kF8E4M3, sign * 3.3e38F));
  }
}

}  // namespace
}  // namespace quantlane
