#include "quantize/algorithms/weighted.h"

#include <vector>

#include "formats/group_format.h"

namespace quantlane {
namespace {

Result<QuantTensor> quantize(const Scheme& scheme, const float* values, std::int64_t rows,
                             std::int64_t cols, const LinearInputs& inputs) {
  if (!inputs.importance.empty()) {
    return quantize_rows(scheme, values, rows, cols, inputs.importance, inputs.tensor_scale);
  }
  // Without statistics every column counts the same: a plain mean-square search.
  const std::vector<float> ones(static_cast<std::size_t>(cols), 1.0F);
  return quantize_rows(scheme, values, rows, cols, ones, inputs.tensor_scale);
}

void encode(const BlockFormat& format, const float* values, std::int64_t rows, std::int64_t cols,
            const LinearInputs& inputs, std::byte* blocks) {
  for (std::int64_t r = 0; r < rows; ++r) {
    format.encode({values + r * cols, static_cast<std::size_t>(cols)}, inputs.importance,
                  blocks + r * format.row_bytes(cols));
  }
}

}  // namespace

constinit const Algorithm kWeighted = {.name = "weighted",
                                       .summary = "scales searched under the importance of columns",
                                       .wants_statistics = true,
                                       .wants_feedback = false,
                                       .quantize = quantize,
                                       .encode = encode};

}  // namespace quantlane
