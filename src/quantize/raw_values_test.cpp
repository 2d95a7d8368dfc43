#include "quantize/raw_values.h"

#include <cmath>
#include <limits>

#include <gtest/gtest.h>

#include "tensor/dtype.h"

namespace quantlane {
namespace {

TEST(RawValues, AreCheckedInEveryPlace) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr std::int64_t kCols = 300;
  for (const DType type : {DType::kBF16, DType::kF16, DType::kF32}) {
    const ElementType element{.plain = type};
    std::vector<float> values(9000, 1.5F);
    values[17] = type == DType::kF16 ? 65504.0F : 3.3e38F;
    values[18] = -0.0F;
    std::vector<std::byte> bytes(element.bytes_of(9000));
    encode_plain(type, values.data(), 9000, bytes.data());
    EXPECT_TRUE(check_raw_values(element, bytes, "t", 0, kCols).has_value());
    for (const std::int64_t at : {0, 4095, 4096, 8999}) {
      for (const float bad : {kInfinity, -kInfinity, std::nanf("")}) {
        std::vector<std::byte> damaged = bytes;
        encode_plain(type, &bad, 1, damaged.data() + element.bytes_of(at));
        const auto checked = check_raw_values(element, damaged, "t", 600, kCols);
        ASSERT_FALSE(checked.has_value()) << at;
        EXPECT_EQ(checked.error().found, "NaN or infinity in row " +
                                             std::to_string((600 + at) / kCols) + ", column " +
                                             std::to_string((600 + at) % kCols));
      }
    }
  }
}

TEST(RawValues, OfVectorsAreNamedByElement) {
  const float values[] = {1, 2, std::nanf("")};
  const auto checked =
      check_raw_values({.plain = DType::kF32}, std::as_bytes(std::span(values)), "t", 5, 0);
  ASSERT_FALSE(checked.has_value());
  EXPECT_EQ(checked.error().found, "NaN or infinity in element 7 of this weight");
}

TEST(RawValues, OfOtherTypesPass) {
  const std::vector<std::byte> bytes(64, std::byte{0xFF});
  EXPECT_TRUE(check_raw_values({.plain = DType::kI32}, bytes, "t", 0, 16).has_value());
  EXPECT_TRUE(check_raw_values({.plain = DType::kU8}, bytes, "t", 0, 64).has_value());
}

}  // namespace
}  // namespace quantlane
