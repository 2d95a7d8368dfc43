#include "quantize/algorithms/gptq.h"

#include <vector>

#include "core/check.h"
#include "formats/group_format.h"
#include "quantize/algorithms/feedback_rows.h"
#include "quantize/algorithms/gptq_blocks.h"
#include "quantize/algorithms/weighted.h"

namespace quantlane {
namespace {

// Codes of one group of columns, each chosen after the errors of those before it.
void settle_group(const GroupFormat& format, std::int64_t begin, std::int64_t end,
                  std::span<const float> importance, FeedbackRows& rows, QuantTensor& tensor) {
  const Scheme& scheme = tensor.scheme;
  const std::int64_t width = end - begin;
  std::vector<float> errors(static_cast<std::size_t>(tensor.rows * width));
  for (std::int64_t r = 0; r < tensor.rows; ++r) {
    const FittedGroup fitted = fit_group(format, rows.part(r, begin, end), importance,
                                         !importance.empty(), scheme, tensor.tensor_scale);
    const std::int64_t groups = scheme.groups_per_row(tensor.cols);
    const auto index = static_cast<std::size_t>(r * groups + begin / width);
    tensor.scales[index] = fitted.stored;
    if (!scheme.symmetric) {
      tensor.zeros[index] = static_cast<std::int8_t>(static_cast<int>(fitted.params.zero));
    }
    for (std::int64_t j = begin; j < end; ++j) {
      std::int8_t* code = tensor.codes.data() + r * tensor.cols + j;
      float settled = 0;
      format.project(rows.part(r, j, j + 1), fitted.params, scheme, code);
      format.decode(code, 1, fitted.params, scheme, &settled);
      rows.settle_one(r, j, end, settled, &errors[static_cast<std::size_t>(r * width + j - begin)]);
    }
  }
  rows.spread(begin, end, std::move(errors));
}

Result<QuantTensor> quantize(const Scheme& scheme, const float* values, std::int64_t rows,
                             std::int64_t cols, const LinearInputs& inputs) {
  const bool in_rows = scheme.block_rows == 1 && scheme.tensor_scale == TensorScale::kNone &&
                       scheme.granularity != Granularity::kTensor;
  if (inputs.feedback == nullptr || !in_rows) {
    return kWeighted.quantize(scheme, values, rows, cols, inputs);
  }
  const GroupFormat* format = group_format_for(scheme);
  if (format == nullptr) {
    return fail(unsupported("quantizing a matrix to " + scheme.spelling())
                    .got("no format that holds this scheme"));
  }
  QUANTLANE_CHECK(inputs.feedback->cols == cols);
  QuantTensor tensor;
  tensor.scheme = scheme;
  tensor.rows = rows;
  tensor.cols = cols;
  tensor.codes.resize(static_cast<std::size_t>(rows * cols));
  tensor.scales.resize(static_cast<std::size_t>(scheme.scale_count(rows, cols)));
  if (!scheme.symmetric) tensor.zeros.resize(tensor.scales.size());
  const std::int64_t width = cols / scheme.groups_per_row(cols);
  FeedbackRows state(values, rows, *inputs.feedback);
  for (std::int64_t begin = 0; begin < cols; begin += width) {
    const auto importance = inputs.importance.empty()
                                ? inputs.importance
                                : inputs.importance.subspan(static_cast<std::size_t>(begin),
                                                            static_cast<std::size_t>(width));
    settle_group(*format, begin, begin + width, importance, state, tensor);
  }
  return tensor;
}

}  // namespace

constinit const Algorithm kGptqRounding = {.name = "gptq",
                                           .wants_statistics = true,
                                           .wants_feedback = true,
                                           .quantize = quantize,
                                           .encode = encode_blocks_with_feedback};

}  // namespace quantlane
