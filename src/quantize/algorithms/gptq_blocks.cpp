#include "quantize/algorithms/gptq_blocks.h"

#include <vector>

#include "core/check.h"
#include "quantize/algorithms/feedback_rows.h"
#include "quantize/algorithms/weighted.h"

namespace quantlane {

// Blocks choose scales and codes at once, so feedback goes from block to block.
void encode_blocks_with_feedback(const BlockFormat& format, const float* values, std::int64_t rows,
                                 std::int64_t cols, const LinearInputs& inputs, std::byte* blocks) {
  if (inputs.feedback == nullptr) {
    kWeighted.encode(format, values, rows, cols, inputs, blocks);
    return;
  }
  QUANTLANE_CHECK(inputs.feedback->cols == cols);
  FeedbackRows state(values, rows, *inputs.feedback);
  const std::int64_t width = format.block_values;
  std::vector<float> settled(static_cast<std::size_t>(rows * width));
  for (std::int64_t begin = 0; begin < cols; begin += width) {
    const auto importance = inputs.importance.empty()
                                ? inputs.importance
                                : inputs.importance.subspan(static_cast<std::size_t>(begin),
                                                            static_cast<std::size_t>(width));
    for (std::int64_t r = 0; r < rows; ++r) {
      std::byte* block = blocks + r * format.row_bytes(cols) + begin / width * format.block_bytes;
      format.encode(state.part(r, begin, begin + width), importance, block);
      format.decode(block, 1, settled.data() + r * width);
    }
    state.settle(begin, begin + width, settled.data());
  }
}

}  // namespace quantlane
