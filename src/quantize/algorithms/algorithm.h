// How the numbers of a format are chosen. One file pair and one row in algorithms() each;
// algorithms see fit, project, encode and nothing of containers, dialects or models.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "calibrate/error_feedback.h"
#include "formats/block_format.h"
#include "formats/quant_tensor.h"
#include "quantlane/result.h"

namespace quantlane {

// What calibration knows of the rows that enter a Linear.
struct LinearInputs {
  std::span<const float> importance = {};   // [cols] or empty
  const ErrorFeedback* feedback = nullptr;  // of the same columns, or null
  float tensor_scale = 0;                   // of the whole matrix, where the scheme has one
  std::int64_t first_row = 0;               // the place of the first value row in the matrix
  float factor = 1;                         // what the values were multiplied by
};

// LinearInputs that own what they show.
struct InputModel {
  std::vector<float> importance = {};
  std::shared_ptr<const ErrorFeedback> feedback = {};
  float tensor_scale = 0;
  [[nodiscard]] LinearInputs view(std::int64_t first_row, float factor = 1) const {
    return {.importance = importance,
            .feedback = feedback.get(),
            .tensor_scale = tensor_scale,
            .first_row = first_row,
            .factor = factor};
  }
};

struct Algorithm {
  std::string_view name;
  std::string_view summary;  // one line of help
  bool wants_statistics;     // uses the importance of input columns where given
  bool wants_feedback;       // uses the error feedback where given
  // Rows [rows, cols] of one Linear under a group scheme. Finite input.
  Result<QuantTensor> (*quantize)(const Scheme& scheme, const float* values, std::int64_t rows,
                                  std::int64_t cols, const LinearInputs& inputs);
  // Rows [rows, cols] into blocks of `format`.
  void (*encode)(const BlockFormat& format, const float* values, std::int64_t rows,
                 std::int64_t cols, const LinearInputs& inputs, std::byte* blocks);
};

std::span<const Algorithm* const> algorithms();
const Algorithm* algorithm_by_name(std::string_view name);

}  // namespace quantlane
