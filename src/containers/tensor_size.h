// The size of a stored tensor, checked: shapes come from files and requests.
#pragma once
#include <cstdint>
#include <expected>
#include <span>
#include <string>

#include "containers/container.h"

namespace quantlane {

// Bytes of a tensor of `type` and `shape` (outermost first), or what a valid one would have
// ("extents of at least 0"). Guarantees that no product of extents leaves int64, empty tensors
// included, so TensorInfo::element_count() and rows() are safe.
std::expected<std::uint64_t, std::string> stored_size(const ElementType& type,
                                                      std::span<const std::int64_t> shape);

// "[4096, 128]"
std::string shape_text(std::span<const std::int64_t> shape);

}  // namespace quantlane
