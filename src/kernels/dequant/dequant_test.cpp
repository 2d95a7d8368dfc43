#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/rng.h"
#include "formats/group_format.h"
#include "kernels/dequant/dequant_table.h"

namespace quantlane::kernels {
namespace {

class DequantRows : public testing::TestWithParam<DequantRow> {
 protected:
  void SetUp() override {
    if (GetParam().isa > cpu_info().best) {
      GTEST_SKIP() << "this processor lacks " << isa_name(GetParam().isa);
    }
  }
};

// The same bits; NaN where `expected` has NaN.
void expect_same(const std::vector<float>& found, const std::vector<float>& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    if (std::isnan(expected[i])) {
      ASSERT_TRUE(std::isnan(found[i])) << i;
    } else {
      ASSERT_EQ(std::bit_cast<std::uint32_t>(found[i]), std::bit_cast<std::uint32_t>(expected[i]))
          << i;
    }
  }
}

// Random bytes meet every code, scale and binary16, infinities and NaN included.
TEST_P(DequantRows, BlocksOfRandomBytesDecodeAsTheFormat) {
  Rng rng(1);
  for (const BlockFormat* format : block_formats()) {
    for (const std::int64_t count : {0, 1, 2, 37}) {
      for (const std::size_t shift : {std::size_t{0}, std::size_t{1}}) {
        std::vector<std::byte> bytes(static_cast<std::size_t>(count * format->block_bytes) + shift);
        for (std::byte& byte : bytes) byte = static_cast<std::byte>(rng.next() & 255U);
        const auto size = static_cast<std::size_t>(count * format->block_values);
        std::vector<float> expected(size);
        std::vector<float> found(size);
        format->decode(bytes.data() + shift, count, expected.data());
        block_decode_with(GetParam(), *format)(bytes.data() + shift, count, found.data());
        SCOPED_TRACE(format->name);
        expect_same(found, expected);
      }
    }
  }
}

TEST_P(DequantRows, QuantizedRowsDecodeAsTheTensor) {
  Rng rng(2);
  for (const char* spelling : {"int8_channel_sym", "int8_channel_asym", "int4_g32_sym",
                               "int4_g32_asym", "fp8_e4m3_channel", "fp8_e4m3_tensor",
                               "fp8_e4m3_b2x32", "nvfp4", "mxfp4", "mxfp8", "nf4_g32"}) {
    Scheme scheme = Scheme::parse(spelling).value();
    for (const std::int64_t cols : {32, 96, 224}) {
      QuantTensor tensor;
      tensor.scheme = scheme;
      tensor.rows = 5;
      tensor.cols = cols;
      const std::int64_t groups = scheme.groups_per_row(cols);
      const auto mask = scheme.bits == 4 && scheme.type != ValueType::kInt ? 15U : 255U;
      for (std::int64_t i = 0; i < 5 * cols; ++i) {
        tensor.codes.push_back(static_cast<std::int8_t>(rng.next() & mask));
      }
      tensor.tensor_scale = 0.7F;
      for (std::int64_t i = 0; i < scheme.scale_count(5, cols); ++i) {
        tensor.scales.push_back(static_cast<float>(rng.uniform()));
        if (!scheme.symmetric) {
          tensor.zeros.push_back(static_cast<std::int8_t>(rng.next() & 255U));
        }
      }
      std::vector<float> expected(static_cast<std::size_t>(3 * cols));
      std::vector<float> found(expected.size());
      SCOPED_TRACE(spelling);
      for (const DType dtype : {DType::kF16, DType::kBF16, DType::kF32}) {
        tensor.scheme.rounding = {.scale = dtype, .value = dtype};
        tensor.decode_rows(1, 3, expected.data());
        decode_rows_with(GetParam(), tensor, 1, 3, found.data());
        expect_same(found, expected);
      }
      if (scheme.granularity == Granularity::kGroup && scheme.type == ValueType::kInt) {
        for (std::int64_t c = 0; c < cols; ++c) {
          tensor.group_of_column.push_back(static_cast<std::int32_t>(c * 7 % groups));
        }
        tensor.decode_rows(1, 3, expected.data());
        decode_rows_with(GetParam(), tensor, 1, 3, found.data());
        expect_same(found, expected);
      }
    }
  }
}

TEST_P(DequantRows, RoundingToSmallFloatsMatchesTheScalarCode) {
  if (GetParam().kernels == nullptr) GTEST_SKIP() << "the scalar code itself";
  std::vector<float> values;
  for (std::uint64_t bits = 0; bits < (1ULL << 32); bits += 16661) {
    values.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
  }
  for (int i = -4100; i <= 4100; ++i) {
    values.push_back(static_cast<float>(i) * 0x1p-26F);  // ties of the subnormals of binary16
    values.push_back(65000.0F + static_cast<float>(i));  // where it overflows
    values.push_back(1.0F + static_cast<float>(i) * 0x1p-12F);
    values.push_back(1.0F + static_cast<float>(i) * 0x1p-9F);
  }
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    std::vector<float> expected = values;
    std::vector<float> found = values;
    round_values(dtype, expected.data(), static_cast<std::int64_t>(values.size()));
    (dtype == DType::kF16 ? GetParam().kernels->round_f16 : GetParam().kernels->round_bf16)(
        found.data(), static_cast<std::int64_t>(values.size()));
    expect_same(found, expected);
  }
}

TEST_P(DequantRows, CodesOfAnyCountDecodeAsTheFormat) {
  if (GetParam().kernels == nullptr) GTEST_SKIP() << "the scalar code itself";
  const Scheme fp8 = Scheme::parse("fp8_e4m3_channel").value();
  for (const std::int64_t count : {0, 1, 7, 8, 9, 15, 16, 17, 31, 33, 256}) {
    std::vector<std::int8_t> codes(static_cast<std::size_t>(count));
    std::iota(codes.begin(), codes.end(), std::int8_t{-3});
    std::vector<float> expected(codes.size());
    std::vector<float> found(codes.size());
    group_format_for(fp8)->decode(codes.data(), count, {.scale = 0.37F}, fp8, expected.data());
    GetParam().kernels->e4m3(codes.data(), count, 0.37F, found.data());
    expect_same(found, expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Table, DequantRows,
                         testing::ValuesIn(dequant_rows().begin(), dequant_rows().end()),
                         [](const auto& row) { return std::string(isa_name(row.param.isa)); });

TEST(Dequant, EveryFastFormatIsInTheRegistry) {
  for (const FastBlockFormat& fast : fast_block_formats()) {
    const BlockFormat* format = block_format_by_name(fast.name);
    ASSERT_NE(format, nullptr) << fast.name;
    EXPECT_EQ(block_decode(*format) == format->decode, active_isa() == Isa::kRef);
  }
}

}  // namespace
}  // namespace quantlane::kernels
