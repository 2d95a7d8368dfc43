#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "formats/random_values_for_test.h"
#include "kernels/moments/moments_table.h"

namespace quantlane::kernels {
namespace {

// Both factors rounded to 8 bits, and float32 sums.
double moment_bound(double sum_of_magnitudes) { return sum_of_magnitudes * (0x1p-7 + 0x1p-20); }

enum class Kind : std::uint8_t { kOwn, kShift, kCross };

TEST(Moments, AreTheSumsOverTokensOnEveryInstructionSet) {
  struct Sizes {
    std::int64_t tokens, cols, width;
  };
  for (const MomentRow& row : moment_rows()) {
    if (row.isa > cpu_info().best) continue;
    // Odd tokens, columns that fill no panel, and more tokens than one block.
    for (const auto& [tokens, cols, other] :
         {Sizes{1, 1, 3}, Sizes{7, 40, 33}, Sizes{33, 96, 20}, Sizes{300, 71, 96}}) {
      for (const Kind kind : {Kind::kOwn, Kind::kShift, Kind::kCross}) {
        const std::int64_t width = kind == Kind::kCross ? other : cols;
        const auto x = normal_values(tokens * cols, 1, 1);
        const auto y = normal_values(tokens * width, 1, 2);
        const MomentFactors factors{.x = x.data(),
                                    .cols = cols,
                                    .y = kind == Kind::kOwn ? x.data() : y.data(),
                                    .width = width,
                                    .minus = kind == Kind::kShift ? x.data() : nullptr};
        std::vector<float> sums(static_cast<std::size_t>(cols * width), 1.0F);
        ThreadPool one(1);
        add_moments_with(row, factors, tokens, sums.data(), one);
        for (std::int64_t i = 0; i < cols; ++i) {
          for (std::int64_t j = kind == Kind::kOwn ? i : 0; j < width; ++j) {
            double want = 1;
            double magnitudes = 1;
            for (std::int64_t t = 0; t < tokens; ++t) {
              const auto a = static_cast<double>(x[static_cast<std::size_t>(t * cols + i)]);
              const auto at = static_cast<std::size_t>(t * width + j);
              auto b = static_cast<double>(factors.y[at]);
              if (kind == Kind::kShift) b -= static_cast<double>(x[at]);
              want += a * b;
              magnitudes += std::abs(a * b);
            }
            EXPECT_NEAR(static_cast<double>(sums[static_cast<std::size_t>(i * width + j)]), want,
                        moment_bound(magnitudes))
                << isa_name(row.isa) << ' ' << tokens << " x " << cols << ' ' << i << ' ' << j;
          }
        }
        std::vector<float> again(sums.size(), 1.0F);
        ThreadPool three(3);
        add_moments_with(row, factors, tokens, again.data(), three);
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
    add_moments_with(row, {.x = x.data(), .cols = 8, .y = x.data(), .width = 8}, 4, sums.data(),
                     pool);
    EXPECT_TRUE(std::isnan(sums[9])) << isa_name(row.isa);  // columns 1 and 1
    EXPECT_FALSE(std::isnan(sums[3])) << isa_name(row.isa);
  }
}

}  // namespace
}  // namespace quantlane::kernels
