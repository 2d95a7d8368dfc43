// Values that no scale of a format reaches: they would be cut, or decode to infinity.
#pragma once
#include <cstdint>
#include <string>

#include "formats/quant_tensor.h"
#include "quantlane/result.h"

namespace quantlane {

// Fails where a row of `slice` does not hold the values [slice.rows, slice.cols] that it was made
// of: their largest decodes to infinity, to less than a quarter, or, where scales and with them the
// arithmetic of engines are binary16, lies beyond 65504. `first_row` of the matrix `name`.
Result<void> check_reach(const float* values, const QuantTensor& slice, std::int64_t first_row,
                         const std::string& name);

}  // namespace quantlane
