#include "quantize/algorithms/weighted.h"

#include <vector>

#include "formats/group_format.h"

namespace quantlane {
namespace {

Result<QuantTensor> quantize(const Scheme& scheme, const float* values, std::int64_t rows,
                             std::int64_t cols, std::span<const float> importance) {
  if (!importance.empty()) return quantize_rows(scheme, values, rows, cols, importance);
  // Without statistics every column counts the same: a plain mean-square search.
  const std::vector<float> ones(static_cast<std::size_t>(cols), 1.0F);
  return quantize_rows(scheme, values, rows, cols, ones);
}

void encode(const BlockFormat& format, std::span<const float> row,
            std::span<const float> importance, std::byte* blocks) {
  format.encode(row, importance, blocks);
}

}  // namespace

constinit const Algorithm kWeighted = {
    .name = "weighted", .wants_statistics = true, .quantize = quantize, .encode = encode};

}  // namespace quantlane
