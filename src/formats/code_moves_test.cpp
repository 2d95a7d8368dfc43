#include "formats/code_moves.h"

#include <cmath>

#include <gtest/gtest.h>

#include "core/half.h"
#include "core/rng.h"

namespace quantlane {
namespace {

constexpr std::int64_t kTensorRows = 3;
constexpr std::int64_t kCols = 256;

// All codes of the scheme occur; scales as bf16 stores them.
QuantTensor random_tensor(const Scheme& scheme, Rng& rng) {
  QuantTensor tensor;
  tensor.scheme = scheme;
  tensor.rows = kTensorRows;
  tensor.cols = kCols;
  const int count = 1 << scheme.bits;
  for (std::int64_t i = 0; i < kTensorRows * kCols; ++i) {
    const int code = static_cast<int>(rng.next() % static_cast<std::uint64_t>(count));
    tensor.codes.push_back(static_cast<std::int8_t>(scheme.symmetric ? code - count / 2 : code));
  }
  const std::int64_t scales =
      scheme.granularity == Granularity::kTensor ? 1 : kTensorRows * scheme.groups_per_row(kCols);
  for (std::int64_t i = 0; i < scales; ++i) {
    const float scale = 0.001F + 0.01F * static_cast<float>(rng.next() % 1000) / 1000.0F;
    tensor.scales.push_back(bf16_to_f32(f32_to_bf16(scale)));
    if (!scheme.symmetric) {
      tensor.zeros.push_back(
          static_cast<std::int8_t>(rng.next() % static_cast<std::uint64_t>(count)));
    }
  }
  return tensor;
}

std::vector<float> decoded(const QuantTensor& tensor) {
  std::vector<float> values(static_cast<std::size_t>(tensor.rows * tensor.cols));
  tensor.decode_rows(0, tensor.rows, values.data());
  return values;
}

std::vector<float> moved(const QuantTensor& tensor, const BlockFormat& target) {
  std::vector<std::byte> blocks(static_cast<std::size_t>(target.row_bytes(tensor.cols)));
  std::vector<float> values(static_cast<std::size_t>(tensor.rows * tensor.cols));
  for (std::int64_t row = 0; row < tensor.rows; ++row) {
    move_codes(tensor, row, target, blocks.data());
    target.decode(blocks.data(), tensor.cols / target.block_values,
                  values.data() + row * tensor.cols);
  }
  return values;
}

const BlockFormat& block(const char* name) { return *block_format_by_name(name); }

struct Case {
  const char* scheme;
  const char* smallest;  // "" = no block format
};
class CodeMoves : public testing::TestWithParam<Case> {};
INSTANTIATE_TEST_SUITE_P(
    Schemes, CodeMoves,
    testing::Values(Case{"int2_g128_sym", "q4_0"}, Case{"int3_g64_sym", "q4_0"},
                    Case{"int4_g128_sym", "q4_0"}, Case{"int4_g32_sym", "q4_0"},
                    Case{"int4_channel_sym", "q4_0"}, Case{"int5_g128_sym", "q5_0"},
                    Case{"int6_g128_sym", "q8_0"}, Case{"int8_g128_sym", "q8_0"},
                    Case{"int8_channel_sym", "q8_0"}, Case{"int8_tensor_sym", "q8_0"},
                    Case{"int3_g32_asym", "q4_1"}, Case{"int4_g128_asym", "q4_1"},
                    Case{"int5_g128_asym", "q5_1"}, Case{"int8_g128_asym", ""},
                    Case{"int4_g16_sym", ""}, Case{"fp8_e4m3_channel", ""}),
    [](const auto& row) { return std::string(row.param.scheme); });

TEST_P(CodeMoves, KeepEveryValueUpToTheRoundingOfScales) {
  const auto scheme = Scheme::parse(GetParam().scheme);
  ASSERT_TRUE(scheme.has_value());
  const BlockFormat* smallest = block_for_codes(*scheme, kCols);
  EXPECT_EQ(smallest == nullptr ? "" : smallest->name, GetParam().smallest);
  if (smallest == nullptr) return;
  EXPECT_EQ(block_for_codes(*scheme, kCols - 16), nullptr);
  Rng rng(11);
  const QuantTensor tensor = random_tensor(*scheme, rng);
  const auto want = decoded(tensor);
  int targets = 0;
  for (const char* name : {"q4_0", "q4_1", "q5_0", "q5_1", "q8_0"}) {
    if (!can_move_codes(*scheme, kCols, block(name))) continue;
    ++targets;
    const auto got = moved(tensor, block(name));
    if (scheme->symmetric) {
      // Scales of 8 bits and their multiples by a power of two are exact in f16.
      EXPECT_EQ(got, want) << name;
      continue;
    }
    // The product of scale and zero point is rounded to f16: half a unit of 2^-10 of its size.
    for (std::size_t i = 0; i < want.size(); ++i) {
      const float scale =
          tensor.scales[i / static_cast<std::size_t>(kCols) *
                            static_cast<std::size_t>(scheme->groups_per_row(kCols)) +
                        i % kCols / static_cast<std::size_t>(scheme->group_size)];
      ASSERT_NEAR(got[i], want[i], scale * 31 * 0x1p-11F + 0x1p-24F) << name << " " << i;
    }
  }
  EXPECT_GE(targets, 1);
  EXPECT_FALSE(can_move_codes(*scheme, kCols, block("q4_k")));
}

TEST(CodeMovesOfFp4, KeepEveryBitButTheScaleOfTheTensor) {
  struct {
    const char* scheme;
    const char* target;
    std::int64_t wrong_cols;
  } const cases[] = {{"mxfp4", "mxfp4", kCols - 16}, {"nvfp4", "nvfp4", kCols - 32}};
  for (const auto& row : cases) {
    const auto scheme = Scheme::parse(row.scheme);
    ASSERT_TRUE(scheme.has_value()) << row.scheme;
    EXPECT_EQ(block_for_codes(*scheme, kCols), &block(row.target));
    EXPECT_EQ(block_for_codes(*scheme, row.wrong_cols), nullptr);
    EXPECT_FALSE(can_move_codes(*scheme, kCols, block("q4_0")));
    Rng rng(14);
    QuantTensor tensor;
    tensor.scheme = *scheme;
    tensor.rows = kTensorRows;
    tensor.cols = kCols;
    for (std::int64_t i = 0; i < kTensorRows * kCols; ++i)
      tensor.codes.push_back(static_cast<std::int8_t>(rng.below(16)));
    for (std::int64_t i = 0; i < kTensorRows * scheme->groups_per_row(kCols); ++i) {
      // Every stored scale but NaN; zero is none that a power of two has.
      const bool e8m0 = scheme->scale_dtype == DType::kF8E8M0;
      tensor.scales.push_back(e8m0 ? std::ldexp(1.0F, static_cast<int>(rng.below(200)) - 110)
                                   : e4m3_to_f32(static_cast<std::uint8_t>(rng.below(0x7F))));
    }
    EXPECT_EQ(moved(tensor, block(row.target)), decoded(tensor)) << row.scheme;
    if (scheme->tensor_scale == TensorScale::kNone) continue;
    const auto plain = decoded(tensor);
    tensor.tensor_scale = 4;
    EXPECT_EQ(moved(tensor, block(row.target)), plain) << row.scheme;
  }
}

TEST(CodeMovesByActivationOrder, NeedWholeBlocksOfOneGroup) {
  Rng rng(12);
  QuantTensor tensor = random_tensor(*Scheme::parse("int4_g64_sym"), rng);
  for (std::int64_t c = 0; c < kCols; ++c) {
    const std::int64_t group = 3 - c / 64;
    tensor.group_of_column.push_back(static_cast<std::int32_t>(group));
  }
  ASSERT_TRUE(groups_fit_blocks(tensor, block("q4_0")));
  EXPECT_EQ(moved(tensor, block("q4_0")), decoded(tensor));
  std::swap(tensor.group_of_column[5], tensor.group_of_column[100]);
  EXPECT_FALSE(groups_fit_blocks(tensor, block("q4_0")));
}

}  // namespace
}  // namespace quantlane
