#include "quantize/algorithms/gptq.h"

#include <algorithm>
#include <vector>

#include "core/check.h"
#include "formats/group_format.h"
#include "quantize/algorithms/weighted.h"

namespace quantlane {
namespace {

// Columns of a later part that stay in the first cache while one row's errors are spread.
constexpr std::int64_t kTile = 512;

// Rows [rows, cols] that change while their columns are settled from left to right.
class FeedbackRows {
 public:
  FeedbackRows(const float* values, std::int64_t rows, const ErrorFeedback& feedback)
      : rows_(rows),
        cols_(feedback.cols),
        upper_(feedback.upper.data()),
        values_(values, values + rows * feedback.cols) {}

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

  // One column of one row has become `settled`: the columns up to `end` make up for it.
  void settle_one(std::int64_t row, std::int64_t column, std::int64_t end, float settled,
                  float* error) {
    float* values = values_.data() + row * cols_;
    *error = (values[column] - settled) / upper_[column * cols_ + column];
    subtract(values, *error, column, column + 1, end);
  }

  // Errors [rows, end - begin] of settle_one() reach the columns from `end` on.
  void spread(std::int64_t begin, std::int64_t end, std::vector<float> errors) {
    errors_ = std::move(errors);
    spread(begin, end);
  }

 private:
  void subtract(float* row, float error, std::int64_t j, std::int64_t from, std::int64_t to) const {
    const float* upper = upper_ + j * cols_;
    for (std::int64_t k = from; k < to; ++k) row[k] -= error * upper[k];
  }

  void spread(std::int64_t begin, std::int64_t end) {
    const std::int64_t width = end - begin;
    for (std::int64_t from = end; from < cols_; from += kTile) {
      const std::int64_t to = std::min(cols_, from + kTile);
      for (std::int64_t r = 0; r < rows_; ++r) {
        for (std::int64_t j = begin; j < end; ++j) {
          subtract(values_.data() + r * cols_,
                   errors_[static_cast<std::size_t>(r * width + j - begin)], j, from, to);
        }
      }
    }
  }

  std::int64_t rows_;
  std::int64_t cols_;
  const float* upper_;
  std::vector<float> values_;
  std::vector<float> errors_;
};

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

// Blocks choose scales and codes at once, so feedback goes from block to block.
void encode(const BlockFormat& format, const float* values, std::int64_t rows, std::int64_t cols,
            const LinearInputs& inputs, std::byte* blocks) {
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

}  // namespace

constinit const Algorithm kGptqRounding = {.name = "gptq",
                                           .wants_statistics = true,
                                           .wants_feedback = true,
                                           .quantize = quantize,
                                           .encode = encode};

}  // namespace quantlane
