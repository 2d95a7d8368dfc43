#include "quantize/algorithms/gptq_blocks.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "core/check.h"
#include "quantize/algorithms/block_settler.h"
#include "quantize/algorithms/feedback_rows.h"
#include "quantize/algorithms/feedback_targets.h"
#include "quantize/algorithms/weighted.h"

namespace quantlane {
namespace {

// Formats whose codes are chosen one by one: column by column within the block.
void settle_by_columns(const BlockFormat& format, std::int64_t rows, std::int64_t cols,
                       const ErrorFeedback& feedback, FeedbackRows& state, std::byte* blocks) {
  BlockSettler settler(format, feedback);
  const std::int64_t width = format.block_values;
  for (std::int64_t begin = 0; begin < cols; begin += width) {
    settler.start_block(begin);
    std::vector<float> errors(static_cast<std::size_t>(rows * width));
    for (std::int64_t r = 0; r < rows; ++r) {
      const SettledBlock settled = settler.settle(state.part(r, begin, begin + width), begin);
      format.grid->put_together(
          settled.parts, blocks + r * format.row_bytes(cols) + begin / width * format.block_bytes);
      std::copy_n(settled.errors, width, errors.data() + r * width);
    }
    state.spread(begin, begin + width, std::move(errors));
  }
}

// Formats whose codes stand for several values: scales and codes at once, so feedback goes from
// block to block.
void settle_by_blocks(const BlockFormat& format, std::int64_t rows, std::int64_t cols,
                      std::span<const float> importance, FeedbackRows& state, std::byte* blocks) {
  const std::int64_t width = format.block_values;
  std::vector<float> settled(static_cast<std::size_t>(rows * width));
  for (std::int64_t begin = 0; begin < cols; begin += width) {
    const auto weights = importance.empty() ? importance
                                            : importance.subspan(static_cast<std::size_t>(begin),
                                                                 static_cast<std::size_t>(width));
    for (std::int64_t r = 0; r < rows; ++r) {
      std::byte* block = blocks + r * format.row_bytes(cols) + begin / width * format.block_bytes;
      format.encode(state.part(r, begin, begin + width), weights, block);
      format.decode(block, 1, settled.data() + r * width);
    }
    state.settle(begin, begin + width, settled.data());
  }
}

}  // namespace

void encode_blocks_with_feedback(const BlockFormat& format, const float* values, std::int64_t rows,
                                 std::int64_t cols, const LinearInputs& inputs, std::byte* blocks) {
  if (inputs.feedback == nullptr) {
    kWeighted.encode(format, values, rows, cols, inputs, blocks);
    return;
  }
  QUANTLANE_CHECK(inputs.feedback->cols == cols);
  FeedbackRows state(feedback_targets(values, rows, inputs), rows, *inputs.feedback);
  if (format.grid != nullptr) {
    settle_by_columns(format, rows, cols, *inputs.feedback, state, blocks);
  } else {
    settle_by_blocks(format, rows, cols, inputs.importance, state, blocks);
  }
}

}  // namespace quantlane
