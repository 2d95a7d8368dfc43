#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/half.h"
#include "core/rng.h"
#include "formats/group_format.h"
#include "kernels/encode/encode_table.h"

namespace quantlane::kernels {
namespace {

std::vector<std::uint16_t> random_row(std::int64_t count, std::uint64_t seed, double scale = 1) {
  Rng rng(seed);
  std::vector<std::uint16_t> row(static_cast<std::size_t>(count));
  for (auto& value : row) value = f32_to_bf16(static_cast<float>(rng.normal() * scale));
  return row;
}

class EncodeRows : public testing::TestWithParam<EncodeRow> {
 protected:
  void SetUp() override {
    if (GetParam().isa > cpu_info().best) {
      GTEST_SKIP() << "this processor lacks " << isa_name(GetParam().isa);
    }
  }
  // Codes and scale of the fast encoder against fit_absmax and project of the format.
  void expect_as_format(const std::vector<std::uint16_t>& row, const char* spelling) {
    const Scheme scheme = Scheme::parse(spelling).value();
    const GroupFormat* format = group_format_for(scheme);
    ASSERT_NE(format, nullptr);
    std::vector<float> values(row.size());
    std::ranges::transform(row, values.begin(), bf16_to_f32);
    const GroupParams params = format->fit_absmax(values, scheme);
    std::vector<std::int8_t> expected(row.size());
    format->project(values, params, scheme, expected.data());
    std::vector<std::int8_t> codes(row.size() + 1, 77);
    const auto cols = static_cast<std::int64_t>(row.size());
    const EncodedRow encoded =
        scheme.type == ValueType::kInt
            ? encode_int8_with(*GetParam().kernels, row.data(), cols, codes.data())
            : encode_e4m3_with(*GetParam().kernels, row.data(), cols, codes.data());
    EXPECT_TRUE(encoded.finite);
    EXPECT_EQ(encoded.scale, params.scale);
    EXPECT_EQ(codes.back(), 77) << "wrote beyond the row";
    codes.pop_back();
    EXPECT_EQ(codes, expected) << spelling << " " << row.size();
  }
};

const char* const kSpellings[] = {"int8_channel_sym", "fp8_e4m3_channel"};

TEST_P(EncodeRows, MatchesTheScalarFormats) {
  for (const char* spelling : kSpellings) {
    for (const std::int64_t cols :
         {1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 576, 1009}) {
      for (const double scale : {1e-3, 1.0, 300.0}) {
        expect_as_format(random_row(cols, static_cast<std::uint64_t>(cols), scale), spelling);
      }
    }
  }
}

// All finite bf16 values beside a large one: every code, tie and subnormal of the target.
TEST_P(EncodeRows, MatchesTheScalarFormatsOnAllValues) {
  for (const char* spelling : kSpellings) {
    for (const unsigned largest : {0x3F80U, 0x3FA5U, 0x4049U, 0x43E0U, 0x0080U, 0x7F7FU, 0x0001U}) {
      std::vector<std::uint16_t> row;
      for (std::uint32_t bits = 0; bits <= largest; ++bits) {
        row.push_back(static_cast<std::uint16_t>(bits));
        row.push_back(static_cast<std::uint16_t>(bits | 0x8000U));
      }
      expect_as_format(row, spelling);
    }
  }
}

TEST_P(EncodeRows, ZeroRowsHaveTheScaleOfTheFormat) {
  for (const char* spelling : kSpellings) {
    expect_as_format(std::vector<std::uint16_t>(37, 0), spelling);
    expect_as_format(std::vector<std::uint16_t>(37, 0x8000), spelling);
  }
}

TEST_P(EncodeRows, ReportsRowsThatAreNotFinite) {
  for (const unsigned bad : {0x7F80U, 0xFF80U, 0x7FC0U, 0xFFFFU, 0x7F81U}) {
    for (const std::size_t at : {std::size_t{0}, std::size_t{31}, std::size_t{40}}) {
      auto row = random_row(41, 3);
      row[at] = static_cast<std::uint16_t>(bad);
      std::vector<std::int8_t> codes(41);
      EXPECT_FALSE(encode_int8_with(*GetParam().kernels, row.data(), 41, codes.data()).finite);
      EXPECT_FALSE(encode_e4m3_with(*GetParam().kernels, row.data(), 41, codes.data()).finite);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Table, EncodeRows,
                         testing::ValuesIn(encode_rows().begin(), encode_rows().end()),
                         [](const auto& row) { return std::string(isa_name(row.param.isa)); });

TEST(Encode, TheTableEndsWithTheReference) { EXPECT_EQ(encode_rows().back().isa, Isa::kRef); }

}  // namespace
}  // namespace quantlane::kernels
