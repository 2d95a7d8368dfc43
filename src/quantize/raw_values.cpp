#include "quantize/raw_values.h"

#include <algorithm>
#include <concepts>
#include <cstring>
#include <optional>
#include <utility>

#include "core/check.h"

namespace quantlane {
namespace {

// The first value all of whose `exponent` bits are set.
template <std::unsigned_integral Bits>
std::optional<std::size_t> first_not_finite(const std::byte* bytes, std::size_t count,
                                            Bits exponent) {
  const auto at = [bytes](std::size_t i) {
    Bits value;
    std::memcpy(&value, bytes + i * sizeof(Bits), sizeof(Bits));
    return value;
  };
  // Blocks without a branch, which vectors take.
  constexpr std::size_t kBlock = 4096;
  for (std::size_t begin = 0; begin < count; begin += kBlock) {
    const std::size_t end = std::min(count, begin + kBlock);
    Bits found = 0;
    for (std::size_t i = begin; i < end; ++i)
      found = static_cast<Bits>(found | static_cast<Bits>((at(i) & exponent) == exponent));
    if (found == 0) continue;
    for (std::size_t i = begin; i < end; ++i) {
      if ((at(i) & exponent) == exponent) return i;
    }
  }
  return std::nullopt;
}

std::optional<std::size_t> first_not_finite(DType type, std::span<const std::byte> bytes) {
  switch (type) {
    case DType::kBF16:
      return first_not_finite<std::uint16_t>(bytes.data(), bytes.size() / 2, 0x7F80);
    case DType::kF16:
      return first_not_finite<std::uint16_t>(bytes.data(), bytes.size() / 2, 0x7C00);
    case DType::kF32:
      return first_not_finite<std::uint32_t>(bytes.data(), bytes.size() / 4, 0x7F800000);
    default:
      return std::nullopt;
  }
}

}  // namespace

Error not_finite(std::string attempted, const std::string& name, std::int64_t at,
                 std::int64_t cols) {
  return corrupt(std::move(attempted))
      .of(name)
      .expects("finite values")
      .got("NaN or infinity in " + (cols == 0 ? "element " + std::to_string(at) + " of this weight"
                                              : "row " + std::to_string(at / cols) + ", column " +
                                                    std::to_string(at % cols)))
      .advise("the checkpoint is broken: quantlane inspect lists the damaged tensors");
}

Result<void> check_raw_values(const ElementType& type, std::span<const std::byte> bytes,
                              const std::string& name, std::int64_t first, std::int64_t cols) {
  if (type.block != nullptr) return {};
  const std::optional<std::size_t> found = first_not_finite(type.plain, bytes);
  if (!found) return {};
  return fail(
      not_finite("copying a tensor", name, first + static_cast<std::int64_t>(*found), cols));
}

}  // namespace quantlane
