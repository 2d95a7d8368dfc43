#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "formats/random_values_for_test.h"
#include "kernels/moments/moments_table.h"

namespace quantlane::kernels {
namespace {

// Both factors rounded to 8 bits, and float32 sums.
double moment_bound(double sum_of_magnitudes) { return sum_of_magnitudes * (0x1p-7 + 0x1p-20); }

// In double; `magnitudes` that of its terms.
struct Sum {
  double value = 1;
  double magnitudes = 1;
};

Sum sum_of(const std::vector<float>& x, std::int64_t cols, const MomentProduct& product,
           std::int64_t tokens, std::int64_t i, std::int64_t j) {
  Sum sum;
  for (std::int64_t t = 0; t < tokens; ++t) {
    const auto a = static_cast<double>(x[static_cast<std::size_t>(t * cols + i)]);
    auto b = static_cast<double>(product.y[t * product.width + j]);
    if (product.minus != nullptr) b -= static_cast<double>(product.minus[t * product.width + j]);
    sum.value += a * b;
    sum.magnitudes += std::abs(a * b);
  }
  return sum;
}

TEST(Moments, AreTheSumsOverTokensOnEveryInstructionSet) {
  struct Sizes {
    std::int64_t tokens, cols, width;
  };
  for (const MomentRow& row : moment_rows()) {
    if (row.isa > cpu_info().best) continue;
    // Odd tokens, columns that fill no panel, and more tokens than one block.
    for (const auto& [tokens, cols, width] :
         {Sizes{1, 1, 3}, Sizes{7, 40, 33}, Sizes{33, 96, 20}, Sizes{300, 71, 96}}) {
      const auto x = normal_values(tokens * cols, 1, 1);
      const auto y = normal_values(tokens * cols, 1, 2);
      const auto wide = normal_values(tokens * width, 1, 3);
      const auto sums_of = [&](std::int64_t columns) {
        return std::vector<float>(static_cast<std::size_t>(cols * columns), 1.0F);
      };
      const auto run = [&](int threads, std::vector<std::vector<float>>& sums) {
        const std::vector<MomentProduct> products = {
            {.y = x.data(), .width = cols, .sums = sums[0].data()},
            {.y = y.data(), .width = cols, .sums = sums[1].data(), .minus = x.data()},
            {.y = wide.data(), .width = width, .sums = sums[2].data()}};
        ThreadPool pool(threads);
        add_moments_with(row, x.data(), tokens, cols, products, pool);
        return products;
      };
      std::vector<std::vector<float>> sums = {sums_of(cols), sums_of(cols), sums_of(width)};
      std::vector<std::vector<float>> again = sums;
      for (const MomentProduct& product : run(1, sums)) {
        for (std::int64_t i = 0; i < cols; ++i) {
          for (std::int64_t j = product.y == x.data() ? i : 0; j < product.width; ++j) {
            const Sum want = sum_of(x, cols, product, tokens, i, j);
            EXPECT_NEAR(static_cast<double>(product.sums[i * product.width + j]), want.value,
                        moment_bound(want.magnitudes))
                << isa_name(row.isa) << ' ' << tokens << " x " << cols << ' ' << i << ' ' << j;
          }
        }
      }
      run(3, again);
      EXPECT_EQ(sums, again) << isa_name(row.isa);
    }
  }
}

TEST(Moments, KeepNaN) {
  for (const MomentRow& row : moment_rows()) {
    if (row.isa > cpu_info().best) continue;
    auto x = normal_values(4 * 8, 1, 3);
    x[9] = NAN;
    std::vector<float> sums(64);
    ThreadPool pool(1);
    const MomentProduct product[] = {{.y = x.data(), .width = 8, .sums = sums.data()}};
    add_moments_with(row, x.data(), 4, 8, product, pool);
    EXPECT_TRUE(std::isnan(sums[9])) << isa_name(row.isa);  // columns 1 and 1
    EXPECT_FALSE(std::isnan(sums[3])) << isa_name(row.isa);
  }
}

}  // namespace
}  // namespace quantlane::kernels
