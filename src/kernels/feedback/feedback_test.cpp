#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "core/half.h"
#include "core/rng.h"
#include "kernels/feedback/feedback_table.h"

namespace quantlane::kernels {
namespace {

constexpr std::int64_t kCount = 37;
constexpr std::int64_t kStride = 53;

struct Case {
  std::vector<float> upper = std::vector<float>(static_cast<std::size_t>(kCount * kStride));
  std::vector<float> x = std::vector<float>(static_cast<std::size_t>(kCount));
  Case() {
    Rng rng(3);
    for (std::int64_t i = 0; i < kCount; ++i) {
      x[static_cast<std::size_t>(i)] = static_cast<float>(rng.normal());
      for (std::int64_t k = i; k < kStride; ++k)
        upper[static_cast<std::size_t>(i * kStride + k)] =
            static_cast<float>(k == i ? 1.5 + rng.uniform() : 0.3 * rng.normal());
    }
  }
};

double nearest(const FeedbackGrid& grid, double value, double zero) {
  const auto single = static_cast<float>(value);
  if (grid.kind == FeedbackGrid::Kind::kE2M1)
    return static_cast<double>(e2m1_to_f32(f32_to_e2m1(single)));
  if (grid.kind == FeedbackGrid::Kind::kE4M3)
    return static_cast<double>(e4m3_to_f32(f32_to_e4m3(single)));
  return std::clamp(std::nearbyint(value), static_cast<double>(grid.low) - zero,
                    static_cast<double>(grid.high) - zero);
}

const FeedbackGrid kGrids[] = {{.low = -8, .high = 7},
                               {.low = 0, .high = 15},
                               {.kind = FeedbackGrid::Kind::kE2M1},
                               {.kind = FeedbackGrid::Kind::kE4M3}};

TEST(Feedback, MakesUpForEveryErrorInTheColumnsAfterIt) {
  const Case c;
  for (const FeedbackGrid& grid : kGrids) {
    const float zero = grid.low == 0 && grid.high > 0 ? 7 : 0;
    constexpr float kScale = 0.21F;
    // In double, column by column.
    std::vector<double> x(c.x.begin(), c.x.end());
    double loss = 0;
    std::vector<double> want;
    for (std::int64_t j = 0; j < kCount; ++j) {
      const auto at = static_cast<std::size_t>(j);
      const double scale = static_cast<double>(kScale);
      want.push_back(nearest(grid, x[at] / scale, static_cast<double>(zero)) * scale);
      const double error = (x[at] - want.back()) / static_cast<double>(c.upper[at * kStride + at]);
      loss += error * error;
      for (std::int64_t k = j; k < kCount; ++k)
        x[static_cast<std::size_t>(k)] -=
            error * static_cast<double>(c.upper[at * kStride + static_cast<std::size_t>(k)]);
    }
    std::vector<float> values = c.x;
    std::vector<float> settled(values.size());
    std::vector<float> errors(values.size());
    const FeedbackGroup group{.upper = c.upper.data(), .stride = kStride, .count = kCount};
    feedback_settle(group, grid, kScale, zero, values.data(), settled.data(), errors.data());
    for (std::size_t j = 0; j < settled.size(); ++j)
      EXPECT_NEAR(static_cast<double>(settled[j]), want[j], 1e-5) << j;
    const std::vector<float> scales(kFeedbackCandidates, kScale);
    const std::vector<float> zeros(kFeedbackCandidates, zero);
    std::vector<float> state(static_cast<std::size_t>(kCount * kFeedbackCandidates));
    std::vector<float> losses(kFeedbackCandidates);
    feedback_losses(group, grid, c.x.data(), scales.data(), zeros.data(), state.data(),
                    losses.data());
    for (const float found : losses) EXPECT_NEAR(static_cast<double>(found), loss, 1e-4 * loss);
  }
}

TEST(Feedback, SpreadsErrorsOverLaterColumns) {
  Rng rng(4);
  for (const std::int64_t width : {1, 7, 16, 130}) {
    constexpr std::int64_t kRows = 6;
    std::vector<float> errors(static_cast<std::size_t>(kRows * kCount));
    std::vector<float> upper(static_cast<std::size_t>(kCount * width));
    std::vector<float> values(static_cast<std::size_t>(kRows * width));
    for (auto* part : {&errors, &upper, &values})
      for (float& v : *part) v = static_cast<float>(rng.normal());
    std::vector<float> got = values;
    feedback_spread(errors.data(), kRows, kCount, upper.data(), width, got.data(), width, width);
    for (std::int64_t r = 0; r < kRows; ++r) {
      for (std::int64_t k = 0; k < width; ++k) {
        double want = static_cast<double>(values[static_cast<std::size_t>(r * width + k)]);
        for (std::int64_t j = 0; j < kCount; ++j)
          want -= static_cast<double>(errors[static_cast<std::size_t>(r * kCount + j)]) *
                  static_cast<double>(upper[static_cast<std::size_t>(j * width + k)]);
        EXPECT_NEAR(static_cast<double>(got[static_cast<std::size_t>(r * width + k)]), want, 1e-4);
      }
    }
  }
}

TEST(Feedback, InstructionSetsAgreeToTheBit) {
  const Case c;
  for (const FeedbackGrid& grid : kGrids) {
    const FeedbackSteps steps = steps_of(grid);
    std::vector<std::vector<float>> results;
    for (const FeedbackRow& row : feedback_rows()) {
      if (row.isa > active_isa()) continue;
      std::vector<float> all(kFeedbackCandidates);
      std::vector<float> scales(kFeedbackCandidates);
      const std::vector<float> zeros(kFeedbackCandidates);
      for (int i = 0; i < kFeedbackCandidates; ++i)
        scales[static_cast<std::size_t>(i)] = 0.1F + 0.01F * static_cast<float>(i);
      std::vector<float> state(static_cast<std::size_t>(kCount * kFeedbackCandidates));
      row.kernels->losses(c.upper.data(), kStride, kCount, &steps, c.x.data(), scales.data(),
                          zeros.data(), state.data(), all.data());
      std::vector<float> x = c.x;
      std::vector<float> settled(x.size());
      std::vector<float> errors(x.size());
      row.kernels->settle(c.upper.data(), kStride, kCount, &steps, 0.2F, 0, x.data(),
                          settled.data(), errors.data());
      std::vector<float> later(16, 1.0F);
      row.kernels->spread(errors.data(), 1, kCount, c.upper.data() + kCount, kStride, later.data(),
                          16, 16);
      for (const auto* part : {&settled, &errors, &later})
        all.insert(all.end(), part->begin(), part->end());
      results.push_back(std::move(all));
    }
    for (const auto& result : results) EXPECT_EQ(result, results.back());
  }
}

}  // namespace
}  // namespace quantlane::kernels
