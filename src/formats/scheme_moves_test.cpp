#include "formats/scheme_moves.h"

#include <cmath>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "formats/group_format.h"
#include "formats/random_values_for_test.h"

namespace quantlane {
namespace {

using testing::HasSubstr;

constexpr std::int64_t kMovedRows = 6;
constexpr std::int64_t kMovedCols = 256;

QuantTensor moved_tensor(const Scheme& scheme) {
  const auto values = normal_values(kMovedRows * kMovedCols, 0.02F, 3);
  return quantize_rows(scheme, values.data(), kMovedRows, kMovedCols, {},
                       tensor_scale_for(scheme, 0.1F))
      .value();
}

Scheme moved_scheme(const std::string& spelling, DType scale = DType::kF32) {
  Scheme scheme = Scheme::parse(spelling).value();
  if (scheme.tensor_scale == TensorScale::kNone && scheme.scale_dtype != DType::kF8E8M0)
    scheme.scale_dtype = scale;
  return scheme;
}

std::vector<float> moved_values(const QuantTensor& tensor) {
  std::vector<float> values(static_cast<std::size_t>(tensor.rows * tensor.cols));
  tensor.decode_rows(0, tensor.rows, values.data());
  return values;
}

TEST(SchemeMoves, KeepEveryValue) {
  for (const auto& [from, to] :
       std::vector<std::pair<std::string, std::string>>{{"int4_g128_sym", "int4_g128_sym"},
                                                        {"int4_g128_sym", "int4_g64_sym"},
                                                        {"int4_g128_sym", "int4_g128_asym"},
                                                        {"int8_channel_sym", "int8_g128_sym"},
                                                        {"int8_channel_sym", "int8_channel_asym"},
                                                        {"int4_g64_asym", "int4_g32_asym"},
                                                        {"fp8_e4m3_tensor", "fp8_e4m3_channel"},
                                                        {"fp8_e4m3_b128x128", "fp8_e4m3_b128x128"},
                                                        {"nvfp4", "nvfp4"},
                                                        {"mxfp4", "mxfp4"}}) {
    const QuantTensor tensor = moved_tensor(moved_scheme(from, DType::kBF16));
    const Scheme target = moved_scheme(to, DType::kF32);
    ASSERT_TRUE(holds_numbers(target, tensor)) << from << " " << to;
    const QuantTensor moved = moved_to(target, tensor);
    EXPECT_EQ(moved.scheme, target);
    EXPECT_EQ(static_cast<std::int64_t>(moved.scales.size()),
              target.scale_count(kMovedRows, kMovedCols));
    EXPECT_EQ(moved_values(moved), moved_values(tensor)) << from << " " << to;
  }
}

TEST(SchemeMoves, GoBackWhereZeroPointsLieInTheMiddle) {
  const QuantTensor tensor = moved_tensor(moved_scheme("int4_g128_sym"));
  const QuantTensor there = moved_to(moved_scheme("int4_g128_asym"), tensor);
  const QuantTensor back = moved_to(moved_scheme("int4_g128_sym"), there);
  EXPECT_EQ(back.codes, tensor.codes);
  EXPECT_EQ(back.scales, tensor.scales);
  EXPECT_TRUE(back.zeros.empty());
}

// AutoRound writes negative scales; groups of zeros may have a scale of zero.
TEST(SchemeMoves, NegativeAndZeroScalesStayWhatTheyAre) {
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"int4_g128_sym", "int4_g128_sym"}, {"int4_g128_sym", "int4_g128_asym"}}) {
    for (const DType dtype : {DType::kF16, DType::kBF16, DType::kF32}) {
      QuantTensor tensor = moved_tensor(moved_scheme(from, DType::kF16));
      tensor.scales[0] = -0.5F;
      tensor.scales[1] = 0;
      const Scheme target = moved_scheme(to, dtype);
      for (float& scale : tensor.scales) scale = std::round(scale * 0x1p9F) * 0x1p-9F;
      ASSERT_TRUE(holds_numbers(target, tensor)) << obstacle_to_move(target, tensor).value_or("");
      const QuantTensor moved = moved_to(target, tensor);
      EXPECT_EQ(moved.scales, tensor.scales);
      EXPECT_EQ(moved_values(moved), moved_values(tensor));
    }
  }
  QuantTensor tensor = moved_tensor(moved_scheme("nvfp4"));
  tensor.scales[0] = 0;
  EXPECT_TRUE(holds_numbers(tensor.scheme, tensor));
  tensor.scales[0] = -1;
  EXPECT_FALSE(holds_numbers(tensor.scheme, tensor)) << "units take the sign for none";
}

TEST(SchemeMoves, ScalesThatTheTypeDoesNotHoldAreNamed) {
  for (const float scale : {NAN, INFINITY, 0.1F, -1e6F, 0x1p-30F}) {
    QuantTensor tensor = moved_tensor(moved_scheme("int4_g128_sym", DType::kF16));
    tensor.scheme.scale_dtype = DType::kF32;
    tensor.scales[0] = scale;
    EXPECT_FALSE(holds_numbers(moved_scheme("int4_g128_sym", DType::kF16), tensor)) << scale;
  }
}

TEST(SchemeMoves, ADivisorBecomesAFactor) {
  const QuantTensor tensor = moved_tensor(moved_scheme("nvfp4"));
  Scheme multiplies = tensor.scheme;
  multiplies.tensor_scale = TensorScale::kMultiplies;
  const QuantTensor moved = moved_to(multiplies, tensor);
  const auto want = moved_values(tensor);
  const auto got = moved_values(moved);
  for (std::size_t i = 0; i < want.size(); ++i)
    EXPECT_NEAR(got[i], want[i], 0x1p-7F * std::abs(want[i]));
  EXPECT_EQ(moved.codes, tensor.codes);
  EXPECT_EQ(moved.scales, tensor.scales);
}

TEST(SchemeMoves, StaticScalesOfInputsTurnWithTheWayTheyEnter) {
  ActivationScheme divides = ActivationScheme::parse("nvfp4").value();
  divides.tensor_scale = TensorScale::kDivides;
  divides.static_scale = 8;
  ActivationScheme multiplies = divides;
  multiplies.tensor_scale = TensorScale::kMultiplies;
  multiplies.static_scale = 0;
  EXPECT_EQ(input_moved_to(multiplies, divides)->static_scale, 0.125F);
  EXPECT_EQ(*input_moved_to(divides, divides), divides);
  EXPECT_FALSE(input_moved_to(ActivationScheme::parse("fp8_e4m3_tensor").value(), divides));
}

TEST(SchemeMoves, AreRefusedWhereNumbersWouldChange) {
  const QuantTensor tensor = moved_tensor(moved_scheme("int4_g64_sym", DType::kF32));
  EXPECT_FALSE(holds_numbers(moved_scheme("int4_g128_sym"), tensor));
  EXPECT_FALSE(holds_numbers(moved_scheme("int8_g64_sym"), tensor));
  EXPECT_FALSE(holds_numbers(moved_scheme("fp8_e4m3_channel"), tensor));
  EXPECT_FALSE(holds_numbers(moved_scheme("int4_g64_sym", DType::kBF16), tensor));  // scales
  EXPECT_FALSE(
      holds_numbers(moved_scheme("int4_g64_sym"), moved_tensor(moved_scheme("int4_g64_asym"))));
  EXPECT_FALSE(holds_numbers(moved_scheme("fp8_e4m3_tensor"),
                             moved_tensor(moved_scheme("fp8_e4m3_channel"))));
  QuantTensor ordered = tensor;
  ordered.group_of_column.resize(kMovedCols);
  EXPECT_FALSE(holds_numbers(moved_scheme("int4_g64_sym"), ordered));
  EXPECT_THAT(obstacle_to_move(moved_scheme("int4_g64_sym"), ordered).value(),
              HasSubstr("act-order"));
  EXPECT_THAT(obstacle_to_move(moved_scheme("int4_g64_sym", DType::kBF16), tensor).value(),
              HasSubstr("(f32) are no values of bf16"));
}

}  // namespace
}  // namespace quantlane
