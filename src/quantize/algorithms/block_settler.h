// One block of one row under error feedback: its scales, then its codes column by column.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "calibrate/error_feedback.h"
#include "formats/block_format.h"
#include "formats/block_grid.h"
#include "formats/feedback_columns.h"

namespace quantlane {

struct SettledBlock {
  BlockParts parts;
  float errors[kMostBlockValues] = {};  // what the columns after the block have to make up for
  double cost = 0;                      // the sum of their squares
};

// What a column's error costs once the columns after it have made up for it is its square over
// U[j][j]^2 (ErrorFeedback): that is what scales are searched by, with codes chosen under feedback
// for every candidate, so that a candidate's cost is exact for the columns of its sub-block. A code
// settled early does not know of those after it; so descent over the codes of the block follows.
class BlockSettler {
 public:
  // `format` has a grid; both must outlive this object.
  BlockSettler(const BlockFormat& format, const ErrorFeedback& feedback);
  // `values` [block_values] of the columns from `begin` on, as the errors before them left them.
  // The factors of the block are found twice: by the plain encoder, then from the codes settled.
  // start_block(begin) must have been called.
  [[nodiscard]] SettledBlock settle(std::span<const float> values, std::int64_t begin) const;
  // Prepares for the blocks of all rows that start at column `begin`.
  void start_block(std::int64_t begin);

 private:
  void descend(std::span<const float> values, std::int64_t begin, SettledBlock& block) const;
  void settle_under_factors(std::span<const float> values, std::int64_t begin,
                            SettledBlock& block) const;
  void choose_scale(const FeedbackColumns& columns, int sub, BlockParts& parts) const;
  void choose_scale_and_minimum(const FeedbackColumns& columns, std::int64_t column, int sub,
                                BlockParts& parts) const;
  bool refit_factors(std::span<const float> values, std::int64_t begin, BlockParts& parts) const;

  const BlockFormat& format_;
  const BlockGrid& grid_;
  const ErrorFeedback& feedback_;
  std::vector<float> inverse_;  // 1 / U[j][j]
  std::vector<float> weights_;  // its square
  std::vector<float> metric_;   // [n, n] of the block: cost of D = D metric D^T
};

}  // namespace quantlane
