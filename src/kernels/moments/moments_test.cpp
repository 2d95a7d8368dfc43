#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "formats/random_values_for_test.h"
#include "kernels/moments/moments_table.h"

namespace quantlane::kernels {
namespace {

// Both factors rounded to 8 bits, and float32 sums.
double moment_bound(double sum_of_magnitudes) { return sum_of_magnitudes * (0x1p-7 + 0x1p-20); }

TEST(Moments, AreTheSumsOverTokensOnEveryInstructionSet) {
  for (const MomentRow& row : moment_rows()) {
    if (row.isa > cpu_info().best) continue;
    // Odd tokens, columns that fill no panel, and more tokens than one block.
    for (const auto& [tokens, cols] :
         {std::pair<std::int64_t, std::int64_t>{1, 1}, {7, 40}, {33, 96}, {300, 71}}) {
      const auto x = normal_values(tokens * cols, 1, 1);
      const auto y = normal_values(tokens * cols, 1, 2);
      for (const bool shifted : {false, true}) {
        const float* other = shifted ? y.data() : x.data();
        std::vector<float> sums(static_cast<std::size_t>(cols * cols), 1.0F);
        ThreadPool one(1);
        add_moments_with(row, x.data(), other, tokens, cols, sums.data(), one);
        for (std::int64_t i = 0; i < cols; ++i) {
          for (std::int64_t j = shifted ? 0 : i; j < cols; ++j) {
            double want = 1;
            double magnitudes = 1;
            for (std::int64_t t = 0; t < tokens; ++t) {
              const auto a = static_cast<double>(x[static_cast<std::size_t>(t * cols + i)]);
              const auto b = static_cast<double>(x[static_cast<std::size_t>(t * cols + j)]);
              const auto c = static_cast<double>(y[static_cast<std::size_t>(t * cols + j)]);
              want += a * (shifted ? c - b : b);
              magnitudes += std::abs(a * (shifted ? c - b : b));
            }
            EXPECT_NEAR(static_cast<double>(sums[static_cast<std::size_t>(i * cols + j)]), want,
                        moment_bound(magnitudes))
                << isa_name(row.isa) << ' ' << tokens << " x " << cols << ' ' << i << ' ' << j;
          }
        }
        std::vector<float> again(sums.size(), 1.0F);
        ThreadPool three(3);
        add_moments_with(row, x.data(), other, tokens, cols, again.data(), three);
        EXPECT_EQ(sums, again) << isa_name(row.isa);
      }
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
    add_moments_with(row, x.data(), x.data(), 4, 8, sums.data(), pool);
    EXPECT_TRUE(std::isnan(sums[9])) << isa_name(row.isa);  // columns 1 and 1
    EXPECT_FALSE(std::isnan(sums[3])) << isa_name(row.isa);
  }
}

}  // namespace
}  // namespace quantlane::kernels
