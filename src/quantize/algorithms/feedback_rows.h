// Rows whose columns are settled from left to right, each making up for the errors before it.
#pragma once
#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "calibrate/error_feedback.h"
#include "kernels/feedback.h"

namespace quantlane {

// Rows [rows, cols] that change while their columns are settled from left to right.
class FeedbackRows {
 public:
  // `values` [rows, cols]: what the rows aim at.
  FeedbackRows(std::vector<float> values, std::int64_t rows, const ErrorFeedback& feedback)
      : rows_(rows),
        cols_(feedback.cols),
        upper_(feedback.upper.data()),
        values_(std::move(values)) {}

  [[nodiscard]] std::span<const float> part(std::int64_t row, std::int64_t begin,
                                            std::int64_t end) const {
    return {values_.data() + row * cols_ + begin, static_cast<std::size_t>(end - begin)};
  }

  // The columns [begin, end) of all rows have become `settled` [rows, end - begin]: keeps the
  // errors for the columns from `end` on, and moves nothing in between.
  void settle(std::int64_t begin, std::int64_t end, const float* settled) {
    const std::int64_t width = end - begin;
    errors_.resize(static_cast<std::size_t>(rows_ * width));
    for (std::int64_t r = 0; r < rows_; ++r) {
      float* row = values_.data() + r * cols_;
      for (std::int64_t j = begin; j < end; ++j) {
        const float error = (row[j] - settled[r * width + j - begin]) / upper_[j * cols_ + j];
        errors_[static_cast<std::size_t>(r * width + j - begin)] = error;
        subtract(row, error, j, j + 1, end);
      }
    }
    spread(begin, end);
  }

  // `errors` [rows, end - begin] of columns settled elsewhere reach the columns from `end` on.
  void spread(std::int64_t begin, std::int64_t end, std::vector<float> errors) {
    errors_ = std::move(errors);
    spread(begin, end);
  }

 private:
  // Columns of a later part that stay in the first cache while one row's errors are spread.
  static constexpr std::int64_t kTile = 512;

  void subtract(float* row, float error, std::int64_t j, std::int64_t from, std::int64_t to) const {
    const float* upper = upper_ + j * cols_;
    for (std::int64_t k = from; k < to; ++k) row[k] -= error * upper[k];
  }

  void spread(std::int64_t begin, std::int64_t end) {
    const std::int64_t width = end - begin;
    for (std::int64_t from = end; from < cols_; from += kTile) {
      const std::int64_t to = std::min(cols_, from + kTile);
      kernels::feedback_spread(errors_.data(), rows_, width, upper_ + begin * cols_ + from, cols_,
                               values_.data() + from, cols_, to - from);
    }
  }

  std::int64_t rows_;
  std::int64_t cols_;
  const float* upper_;
  std::vector<float> values_;
  std::vector<float> errors_;
};

}  // namespace quantlane
