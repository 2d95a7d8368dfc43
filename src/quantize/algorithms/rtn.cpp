#include "quantize/algorithms/rtn.h"

#include "formats/group_format.h"

namespace quantlane {
namespace {

Result<QuantTensor> quantize(const Scheme& scheme, const float* values, std::int64_t rows,
                             std::int64_t cols, const LinearInputs& inputs) {
  return quantize_rows(scheme, values, rows, cols, {}, inputs.tensor_scale);
}

void encode(const BlockFormat& format, const float* values, std::int64_t rows, std::int64_t cols,
            const LinearInputs&, std::byte* blocks) {
  for (std::int64_t r = 0; r < rows; ++r) {
    format.encode({values + r * cols, static_cast<std::size_t>(cols)}, {},
                  blocks + r * format.row_bytes(cols));
  }
}

}  // namespace

constinit const Algorithm kRtn = {.name = "rtn",
                                  .summary = "round to nearest",
                                  .wants_statistics = false,
                                  .wants_feedback = false,
                                  .quantize = quantize,
                                  .encode = encode};

}  // namespace quantlane
