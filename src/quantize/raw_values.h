// Plain values that are copied as they are stored, without being decoded.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "containers/container.h"
#include "quantlane/result.h"

namespace quantlane {

// The error for value `at` of the tensor `name`, which is NaN or infinite. `cols`: 0 for vectors.
Error not_finite(std::string attempted, const std::string& name, std::int64_t at,
                 std::int64_t cols);

// kCorrupt, with the first of them, where `bytes` hold NaN or infinities of `type`. Types that are
// no plain floats pass. `first`: how many values of the tensor `name` come before these. `cols`: 0
// for vectors.
Result<void> check_raw_values(const ElementType& type, std::span<const std::byte> bytes,
                              const std::string& name, std::int64_t first, std::int64_t cols);

}  // namespace quantlane
