#include "quantize/zero_rows.h"

#include <algorithm>

#include <fmt/format.h>

namespace quantlane {
namespace {

// A row is looked at up to its first value that is not zero.
template <class T, class IsZero>
std::int64_t count(const T* values, std::int64_t rows, std::int64_t cols, const IsZero& is_zero) {
  std::int64_t zeros = 0;
  for (std::int64_t r = 0; r < rows; ++r, values += cols) {
    zeros += std::all_of(values, values + cols, is_zero) ? 1 : 0;
  }
  return zeros;
}

}  // namespace

void ZeroRows::see(const float* values, std::int64_t rows, std::int64_t cols) {
  current_ += count(values, rows, cols, [](float value) { return value == 0; });
}

void ZeroRows::see(const std::uint16_t* bf16, std::int64_t rows, std::int64_t cols) {
  current_ += count(bf16, rows, cols, [](std::uint16_t bits) { return (bits & 0x7fffU) == 0; });
}

void ZeroRows::end_matrix(const std::string& name) { found_.add(current_.exchange(0), name); }

std::string ZeroRows::notice() const {
  if (!found_.any()) return {};
  return fmt::format(
      "{} of {} all zero (the first: {}): what they give is always zero, or the bias",
      found_.count == 1 ? "1 row" : fmt::format("{} rows", found_.count),
      found_.matrices == 1 ? "1 matrix is" : fmt::format("{} matrices are", found_.matrices),
      found_.first);
}

}  // namespace quantlane
