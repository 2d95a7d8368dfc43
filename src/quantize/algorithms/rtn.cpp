#include "quantize/algorithms/rtn.h"

#include "formats/group_format.h"

namespace quantlane {
namespace {

Result<QuantTensor> quantize(const Scheme& scheme, const float* values, std::int64_t rows,
                             std::int64_t cols, std::span<const float>) {
  return quantize_rows(scheme, values, rows, cols, {});
}

void encode(const BlockFormat& format, std::span<const float> row, std::span<const float>,
            std::byte* blocks) {
  format.encode(row, {}, blocks);
}

}  // namespace

constinit const Algorithm kRtn = {
    .name = "rtn", .wants_statistics = false, .quantize = quantize, .encode = encode};

}  // namespace quantlane
