// How the numbers of a format are chosen. One file pair and one row in algorithms() each;
// algorithms see fit, project, encode and nothing of containers, dialects or models.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

#include "formats/block_format.h"
#include "formats/quant_tensor.h"
#include "quantlane/result.h"

namespace quantlane {

struct Algorithm {
  std::string_view name;
  bool wants_statistics;  // uses the importance of input columns where given
  // Rows [rows, cols] of one Linear under a group scheme; importance [cols] or empty. Finite input.
  Result<QuantTensor> (*quantize)(const Scheme& scheme, const float* values, std::int64_t rows,
                                  std::int64_t cols, std::span<const float> importance);
  // One row into blocks of `format`.
  void (*encode)(const BlockFormat& format, std::span<const float> row,
                 std::span<const float> importance, std::byte* blocks);
};

std::span<const Algorithm* const> algorithms();
const Algorithm* algorithm_by_name(std::string_view name);

}  // namespace quantlane
