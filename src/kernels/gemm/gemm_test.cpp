#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/half.h"
#include "formats/random_values_for_test.h"
#include "kernels/gemm/gemm_table.h"

namespace quantlane::kernels {
namespace {

std::vector<std::uint16_t> to_bf16(const std::vector<float>& values) {
  std::vector<std::uint16_t> bits(values.size());
  std::ranges::transform(values, bits.begin(), f32_to_bf16);
  return bits;
}

struct DecodedRows {
  const std::vector<float>& values;
  std::int64_t k;
};

void decode_rows(const void* context, std::int64_t begin, std::int64_t count, float* rows) {
  const auto& source = *static_cast<const DecodedRows*>(context);
  std::copy_n(source.values.data() + begin * source.k, count * source.k, rows);
}

class GemmRows : public testing::TestWithParam<GemmRow> {
 protected:
  void SetUp() override {
    if (GetParam().isa > cpu_info().best) {
      GTEST_SKIP() << "this processor lacks " << isa_name(GetParam().isa);
    }
  }
};

struct Shape {
  std::int64_t tokens, k, n;
};

const Shape kProducts[] = {{1, 1, 1},      {1, 17, 3},    {1, 64, 33},    {2, 31, 5},
                           {3, 32, 7},     {4, 65, 18},   {5, 100, 9},    {6, 257, 12},
                           {7, 513, 13},   {8, 1, 1},     {8, 16, 16},    {9, 255, 14},
                           {16, 256, 15},  {17, 257, 97}, {31, 300, 113}, {33, 128, 224},
                           {47, 511, 225}, {61, 769, 29}, {513, 40, 30},  {530, 64, 17}};

// y is the product in double, but for `unit` * sum |x w|.
void expect_close(const Shape& shape, const std::vector<float>& x, const std::vector<float>& w,
                  const std::vector<float>& y, double unit) {
  for (std::int64_t t = 0; t < shape.tokens; ++t) {
    for (std::int64_t n = 0; n < shape.n; ++n) {
      double sum = 0;
      double magnitude = 0;
      for (std::int64_t k = 0; k < shape.k; ++k) {
        const double product = static_cast<double>(x[static_cast<std::size_t>(t * shape.k + k)]) *
                               static_cast<double>(w[static_cast<std::size_t>(n * shape.k + k)]);
        sum += product;
        magnitude += std::abs(product);
      }
      ASSERT_NEAR(static_cast<double>(y[static_cast<std::size_t>(t * shape.n + n)]), sum,
                  unit * magnitude)
          << "tokens " << shape.tokens << " k " << shape.k << " n " << shape.n << " at " << t
          << ", " << n;
    }
  }
}

// Every product of kProducts, from every kind of rows of w; these are bf16 values. `unit` of K.
void check_products(const GemmKernels& kernels, double (*unit)(std::int64_t k)) {
  ThreadPool pool(3);
  for (const Shape& shape : kProducts) {
    const auto x = normal_values(shape.tokens * shape.k, 1, 1);
    auto w = normal_values(shape.n * shape.k, 1, 2);
    const auto bits = to_bf16(w);
    std::ranges::transform(bits, w.begin(), bf16_to_f32);
    const DecodedRows decoded{w, shape.k};
    RowSource sources[3];
    sources[0].f32 = w.data();
    sources[1].bf16 = bits.data();
    sources[2].decode = decode_rows;
    sources[2].context = &decoded;
    std::vector<float> first;
    for (const RowSource& source : sources) {
      std::vector<float> y(static_cast<std::size_t>(shape.tokens * shape.n), NAN);
      gemm_with(kernels, x.data(), shape.tokens, shape.k, one_part(source, shape.n, y.data()),
                pool);
      expect_close(shape, x, w, y, unit(shape.k));
      if (first.empty()) first = y;
      EXPECT_EQ(first, y) << "the storage of w changes bits";
    }
  }
}

TEST_P(GemmRows, MultiplySeveralMatricesAsOneByOne) {
  constexpr std::int64_t kInputs = 70;
  constexpr std::int64_t kRows[] = {300, 17, 1, 129};
  const GemmKernels& kernels = *GetParam().kernels;
  for (const std::int64_t tokens : {3, 40}) {
    const auto x = normal_values(tokens * kInputs, 1, 1);
    std::vector<std::vector<float>> weights, alone, together;
    std::vector<GemmPart> parts;
    for (const std::int64_t n : kRows) {
      weights.push_back(normal_values(n * kInputs, 1, static_cast<std::uint64_t>(n)));
      alone.emplace_back(static_cast<std::size_t>(tokens * n), -1.0F);
    }
    together = alone;
    for (std::size_t i = 0; i < alone.size(); ++i)
      parts.push_back({.w = {.f32 = weights[i].data()}, .n = kRows[i], .y = together[i].data()});
    for (const int threads : {1, 3}) {
      ThreadPool pool(threads);
      for (std::size_t i = 0; i < alone.size(); ++i) {
        gemm_with(kernels, x.data(), tokens, kInputs,
                  one_part(parts[i].w, kRows[i], alone[i].data()), pool);
        std::ranges::fill(together[i], -1.0F);
      }
      gemm_with(kernels, x.data(), tokens, kInputs, parts, pool);
      EXPECT_EQ(together, alone) << tokens;
    }
  }
}

TEST_P(GemmRows, StaysWithinTheBoundForEverySource) {
  check_products(*GetParam().kernels,
                 [](std::int64_t k) { return static_cast<double>(k) * 0x1p-24; });
}

void check_bits_depend_on_k_only(const GemmKernels& kernels) {
  constexpr std::int64_t kTokens = 70;
  constexpr std::int64_t kOutputs = 131;
  constexpr std::int64_t kInputs = 603;
  const auto x = normal_values(kTokens * kInputs, 1, 3);
  const auto w = normal_values(kOutputs * kInputs, 1, 4);
  RowSource source;
  source.f32 = w.data();
  ThreadPool one(1);
  std::vector<float> all(kTokens * kOutputs);
  gemm_with(kernels, x.data(), kTokens, kInputs, one_part(source, kOutputs, all.data()), one);
  for (const int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    for (const std::int64_t tokens : {8, 15, 16, 32, 41}) {
      const std::int64_t offset = kTokens - tokens;
      std::vector<float> part(static_cast<std::size_t>(tokens * kOutputs));
      gemm_with(kernels, x.data() + offset * kInputs, tokens, kInputs,
                one_part(source, kOutputs, part.data()), pool);
      ASSERT_TRUE(std::equal(part.begin(), part.end(), all.begin() + offset * kOutputs))
          << threads << " threads, " << tokens << " tokens";
    }
  }
}

TEST_P(GemmRows, BitsDependOnKOnly) { check_bits_depend_on_k_only(*GetParam().kernels); }

TEST_P(GemmRows, DotBitsDependOnKOnly) {
  constexpr std::int64_t kOutputs = 37;
  constexpr std::int64_t kInputs = 203;
  const auto x = normal_values(7 * kInputs, 1, 5);
  const auto w = normal_values(kOutputs * kInputs, 1, 6);
  RowSource source;
  source.f32 = w.data();
  ThreadPool pool(2);
  std::vector<float> all(7 * kOutputs);
  gemm_with(*GetParam().kernels, x.data(), 7, kInputs, one_part(source, kOutputs, all.data()),
            pool);
  for (std::int64_t tokens = 1; tokens < 7; ++tokens) {
    std::vector<float> part(static_cast<std::size_t>(tokens * kOutputs));
    gemm_with(*GetParam().kernels, x.data(), tokens, kInputs,
              one_part(source, kOutputs, part.data()), pool);
    for (std::int64_t i = 0; i < tokens * kOutputs; ++i) {
      EXPECT_EQ(part[static_cast<std::size_t>(i)], all[static_cast<std::size_t>(i)]) << tokens;
    }
  }
}

// A sum whose value depends on the order: the tiled path adds products in k order, fused.
TEST_P(GemmRows, TiledSumsRunInOrder) {
  if (GetParam().kernels->panel_tokens == 0) GTEST_SKIP() << "no tiled path";
  constexpr std::int64_t kInputs = 700;
  const auto x = normal_values(8 * kInputs, 1, 7);
  const auto w = normal_values(kInputs, 1, 8);
  RowSource source;
  source.f32 = w.data();
  ThreadPool pool(1);
  std::vector<float> y(8);
  gemm_with(*GetParam().kernels, x.data(), 8, kInputs, one_part(source, 1, y.data()), pool);
  for (std::int64_t t = 0; t < 8; ++t) {
    float sum = 0;
    for (std::int64_t k = 0; k < kInputs; ++k) {
      sum = std::fma(x[static_cast<std::size_t>(t * kInputs + k)], w[static_cast<std::size_t>(k)],
                     sum);
    }
    EXPECT_EQ(y[static_cast<std::size_t>(t)], sum);
  }
}

TEST_P(GemmRows, EmptySizesAreHandled) {
  ThreadPool pool(2);
  RowSource source;
  const float one = 1;
  source.f32 = &one;
  std::vector<float> y(9, 5.0F);
  gemm_with(*GetParam().kernels, &one, 0, 1, one_part(source, 1, y.data()), pool);
  gemm_with(*GetParam().kernels, &one, 1, 1, one_part(source, 0, y.data()), pool);
  EXPECT_EQ(y, std::vector<float>(9, 5.0F));
  gemm_with(*GetParam().kernels, &one, 9, 0, one_part(source, 1, y.data()), pool);
  EXPECT_EQ(y, std::vector<float>(9, 0.0F));
}

void check_nan_and_infinity(const GemmKernels& kernels) {
  ThreadPool pool(1);
  for (const std::int64_t tokens : {3, 9}) {
    constexpr std::int64_t kInputs = 35;
    constexpr std::int64_t kOutputs = 17;
    auto x = normal_values(tokens * kInputs, 1, 9);
    auto w = normal_values(kOutputs * kInputs, 1, 10);
    x[kInputs + 34] = NAN;
    w[4 * kInputs + 33] = INFINITY;
    RowSource source;
    source.f32 = w.data();
    std::vector<float> y(static_cast<std::size_t>(tokens * kOutputs));
    gemm_with(kernels, x.data(), tokens, kInputs, one_part(source, kOutputs, y.data()), pool);
    for (std::int64_t t = 0; t < tokens; ++t) {
      for (std::int64_t n = 0; n < kOutputs; ++n) {
        const float value = y[static_cast<std::size_t>(t * kOutputs + n)];
        EXPECT_EQ(std::isnan(value), t == 1) << t << ", " << n;
        EXPECT_EQ(std::isinf(value), t != 1 && n == 4) << t << ", " << n;
      }
    }
  }
}

TEST_P(GemmRows, NanAndInfinityStayInTheirRowsAndColumns) {
  check_nan_and_infinity(*GetParam().kernels);
}

INSTANTIATE_TEST_SUITE_P(Table, GemmRows, testing::ValuesIn(gemm_rows().begin(), gemm_rows().end()),
                         [](const auto& row) { return std::string(isa_name(row.param.isa)); });

TEST(Gemm, TheOverrideChoosesTheRow) {
  const auto rows = gemm_rows();
  EXPECT_EQ(rows.back().isa, Isa::kRef);
  const GemmRow chosen =
      *std::ranges::find_if(rows, [](const GemmRow& row) { return row.isa <= active_isa(); });
  const auto x = normal_values(11 * 301, 1, 11);
  const auto w = normal_values(23 * 301, 1, 12);
  RowSource source;
  source.f32 = w.data();
  ThreadPool pool(2);
  std::vector<float> direct(11 * 23);
  std::vector<float> selected(11 * 23);
  gemm_with(*chosen.kernels, x.data(), 11, 301, one_part(source, 23, direct.data()), pool);
  gemm(x.data(), 11, 301, source, 23, selected.data(), pool);
  EXPECT_EQ(direct, selected);
}

// x rounded to 8 bits, w as it is, float32 sums.
TEST(RoundedGemm, KeepsItsContractOnEveryInstructionSet) {
  for (const GemmRow& row : rounded_gemm_rows()) {
    if (row.isa > cpu_info().best) GTEST_SKIP() << "this processor lacks " << isa_name(row.isa);
    check_products(*row.kernels,
                   [](std::int64_t k) { return 0x1p-8 + static_cast<double>(k) * 0x1p-24; });
    check_bits_depend_on_k_only(*row.kernels);
    check_nan_and_infinity(*row.kernels);
  }
}

TEST(RoundedGemm, RunsEverywhere) {
  const auto x = normal_values(9 * 40, 1, 13);
  const auto w = normal_values(5 * 40, 1, 14);
  ThreadPool pool(2);
  std::vector<float> y(9 * 5, NAN);
  gemm_rounded(x.data(), 9, 40, {.f32 = w.data()}, 5, y.data(), pool);
  expect_close({9, 40, 5}, x, w, y, 0x1p-7 + 0x1p-18);
}

}  // namespace
}  // namespace quantlane::kernels
