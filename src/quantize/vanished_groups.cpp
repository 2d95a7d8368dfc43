#include "quantize/vanished_groups.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "core/check.h"
#include "formats/group_format.h"
#include "formats/lanes.h"
#include "tensor/dtype.h"

namespace quantlane {
namespace {

// Which codes of floats are zero.
std::array<bool, 256> zeros_of(const Scheme& scheme) {
  std::array<bool, 256> zeros{};
  const int count = scheme.bits == 8 ? 256 : 16;
  const GroupFormat* format = group_format_for(scheme);
  QUANTLANE_CHECK(format != nullptr);
  for (int code = 0; code < count; ++code) {
    const auto stored = static_cast<std::int8_t>(code);
    float value = 0;
    format->decode(&stored, 1, {.scale = 1}, scheme, &value);
    zeros[static_cast<std::size_t>(code)] = value == 0;
  }
  return zeros;
}

// A pattern for --tensor-type that takes what engines load as one with the matrix, too.
std::string pattern_for(const std::string& name) {
  constexpr std::string_view kExperts = ".experts.";
  if (const auto at = name.find(kExperts); at != std::string::npos)
    return name.substr(0, at + kExperts.size());
  const std::string module = name.substr(0, name.rfind(".weight"));
  return module.substr(0, module.rfind('.') + 1);
}

}  // namespace

void VanishedGroups::see(const float* values, const QuantTensor& slice) {
  const Scheme& scheme = slice.scheme;
  const std::int64_t groups = scheme.groups_per_row(slice.cols);
  const std::int64_t length = groups == 1 ? slice.cols : scheme.group_size;
  const bool integers = scheme.type == ValueType::kInt;
  const auto zeros = integers ? std::array<bool, 256>{} : zeros_of(scheme);
  std::int64_t vanished = 0;
  bool left = false;
  float largest = 0;
  for (std::int64_t r = 0; r < slice.rows; ++r) {
    for (std::int64_t g = 0; g < groups; ++g) {
      const std::int64_t begin = r * slice.cols + g * length;
      const std::int64_t count = std::min(length, slice.cols - g * length);
      const std::int64_t index = scheme.first_scale(r, slice.cols) + g;
      const auto zero =
          integers ? static_cast<std::int8_t>(slice.zero_point(index)) : std::int8_t{};
      const auto is_zero = [&](std::int8_t code) {
        return integers ? code == zero : zeros[static_cast<std::uint8_t>(code)];
      };
      const std::int8_t* codes = slice.codes.data() + begin;
      if (!std::all_of(codes, codes + count, is_zero)) {
        left = true;
        continue;
      }
      // Not: codes that error feedback made zero.
      const float most = largest_magnitude(values + begin, static_cast<int>(count));
      if (!(most > 0) || most > slice.effective_scale(index) / 2) continue;
      ++vanished;
      largest = std::max(largest, most);
    }
  }
  const std::lock_guard lock(mutex_);
  vanished_ += vanished;
  left_ = left_ || left;
  largest_ = std::max(largest_, largest);
}

void VanishedGroups::end_matrix(const std::string& name, const Scheme& scheme) {
  if (left_) {
    groups_.add(vanished_, name);
  } else if (vanished_ > 0) {
    matrices_.push_back(fmt::format(
        "{}: its values, at most {:.1e}, are too small for the scales ({}) of {} and became zero; "
        "--tensor-type '{}=keep' leaves it and what is loaded with it as they are",
        name, largest_, dtype_row(scheme.scale_dtype).name, scheme.spelling(), pattern_for(name)));
  }
  vanished_ = 0;
  left_ = false;
  largest_ = 0;
}

std::vector<std::string> VanishedGroups::notices() const {
  std::vector<std::string> notices = matrices_;
  if (groups_.any()) {
    notices.push_back(fmt::format(
        "{} of {} (the first: {}) became zero: the weights in them are too small for their scales",
        groups_.count == 1 ? "1 group" : fmt::format("{} groups", groups_.count),
        groups_.matrices == 1 ? "1 matrix" : fmt::format("{} matrices", groups_.matrices),
        groups_.first));
  }
  return notices;
}

}  // namespace quantlane
