#include "containers/tensor_size.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace quantlane {

std::expected<std::uint64_t, std::string> stored_size(const ElementType& type,
                                                      std::span<const std::int64_t> shape) {
  // The widest type has 8 bytes a value, so this many values stay below 2^63 bytes.
  constexpr std::int64_t kMaxValues = std::int64_t{1} << 59;
  std::int64_t bound = 1;  // the product with 0 taken as 1
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) {
    if (extent < 0) return std::unexpected("extents of at least 0");
    if (__builtin_mul_overflow(bound, std::max<std::int64_t>(extent, 1), &bound) ||
        bound > kMaxValues) {
      return std::unexpected("a product of extents below 2^59");
    }
    count *= extent;
  }
  const std::int64_t cols = shape.empty() ? 1 : shape.back();
  if (type.block != nullptr && cols % type.block->block_values != 0) {
    return std::unexpected(
        fmt::format("rows of a multiple of {} values", type.block->block_values));
  }
  return cols == 0 ? 0 : static_cast<std::uint64_t>(count / cols) * type.bytes_of(cols);
}

std::string shape_text(std::span<const std::int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

}  // namespace quantlane
