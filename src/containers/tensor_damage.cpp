#include "containers/tensor_damage.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

namespace quantlane {
namespace {

// A block of zeros has few different bytes; one whose scale was lost still has its codes.
bool lost_its_scale(std::span<const std::byte> block) {
  constexpr std::ptrdiff_t kOfZeros = 8;
  std::array<bool, 256> seen{};
  for (const std::byte value : block) seen[std::to_integer<std::size_t>(value)] = true;
  return std::ranges::count(seen, true) > kOfZeros;
}

// What is wrong with the blocks of a row that decode to finite `values`.
std::string find_block_damage(const BlockFormat& format, std::span<const std::byte> blocks,
                              std::span<const float> values) {
  const auto bytes = static_cast<std::size_t>(format.block_bytes);
  const auto count = static_cast<std::size_t>(format.block_values);
  for (std::size_t b = 0; b * bytes < blocks.size(); ++b) {
    const auto block = blocks.subspan(b * bytes, bytes);
    const std::string where = " in block " + std::to_string(b);
    if (format.valid != nullptr && !format.valid(block.data())) {
      return "a code or scale that " + std::string(format.name) + " does not have" + where;
    }
    const bool zeros = std::ranges::all_of(values.subspan(b * count, count),
                                           [](float value) { return value == 0; });
    if (zeros && lost_its_scale(block)) return "a zero scale over codes" + where;
  }
  return "";
}

}  // namespace

std::string find_damage(const Container& container, const TensorInfo& tensor) {
  const bool floats = tensor.type.block != nullptr || is_float(tensor.type.plain);
  if (!floats) return "";
  std::vector<float> row(static_cast<std::size_t>(tensor.cols()));
  for (std::int64_t r = 0; r < tensor.rows(); ++r) {
    if (const auto decoded = decode_rows(container, tensor, r, 1, row.data()); !decoded) {
      return decoded.error().message();
    }
    const auto bad = std::ranges::find_if(row, [](float v) { return !std::isfinite(v); });
    if (bad != row.end()) {
      return "NaN or infinity in row " + std::to_string(r) + ", column " +
             std::to_string(bad - row.begin());
    }
    if (tensor.type.block != nullptr) {
      const auto row_bytes = static_cast<std::size_t>(tensor.type.block->row_bytes(tensor.cols()));
      const auto blocks =
          container.bytes(tensor).subspan(static_cast<std::size_t>(r) * row_bytes, row_bytes);
      const std::string found = find_block_damage(*tensor.type.block, blocks, row);
      if (!found.empty()) return found + " of row " + std::to_string(r);
    }
    if (tensor.name.ends_with("_scale") && std::ranges::find(row, 0.0F) != row.end()) {
      return "a zero scale in row " + std::to_string(r);
    }
  }
  return "";
}

}  // namespace quantlane
