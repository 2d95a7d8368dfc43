#include "report/number_text.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include <fmt/format.h>

namespace quantlane {
namespace {

constexpr std::string_view kNotAvailable = "n/a";

// Three significant digits without an exponent for 0.001 <= |value| < 99 999.5.
std::string three_digits(double value) {
  const double size = std::abs(value);
  const int decimals = size >= 99.95 ? 0 : size >= 9.995 ? 1 : size >= 0.9995 ? 2 : 3;
  return fmt::format("{:.{}f}", value, decimals);
}

// `value` divided by the largest of 1, 1e3, 1e6, … that leaves at least 1, with its suffix.
std::string scaled(double value, const std::array<std::string_view, 6>& suffixes) {
  std::size_t step = 0;
  while (std::abs(value) >= 999.5 && step + 1 < suffixes.size()) {
    value /= 1000;
    ++step;
  }
  const std::string digits = std::abs(value) < 99999.5
                                 ? (step == 0 ? fmt::format("{:.0f}", value) : three_digits(value))
                                 : fmt::format("{:.0e}", value);
  return digits + std::string(suffixes[step]);
}

}  // namespace

std::string size_text(double bytes) {
  if (!std::isfinite(bytes)) return std::string(kNotAvailable);
  return scaled(bytes, {" B", " kB", " MB", " GB", " TB", " PB"});
}

std::string rate_text(double per_second) {
  if (!std::isfinite(per_second)) return std::string(kNotAvailable);
  const double size = std::abs(per_second);
  if (size == 0) return "0";
  if (size < 0.001 || size >= 1e15) return fmt::format("{:.0e}", per_second);
  if (size < 99999.5) return three_digits(per_second);
  return scaled(per_second, {"", "k", "M", "G", "T", "P"});
}

std::string parameters_text(double count) {
  if (!std::isfinite(count)) return std::string(kNotAvailable);
  return scaled(count, {"", " k", " M", " B", " T", " P"});
}

std::string decimal_text(double value, int decimals) {
  if (!std::isfinite(value)) return std::string(kNotAvailable);
  const double size = std::abs(value);
  const bool shows_a_digit = size == 0 || size >= 0.5 * std::pow(10.0, -decimals);
  if (!shows_a_digit || size >= 1e6) return fmt::format("{:.1e}", value);
  // Large values need fewer decimals to be as precise.
  const int whole_digits = size < 1 ? 1 : 1 + static_cast<int>(std::log10(size));
  return fmt::format("{:.{}f}", value, std::clamp(decimals + 3 - whole_digits, 0, decimals));
}

std::string interval_text(const Interval& interval) {
  const double value = interval.value;
  const double arm = std::max(interval.high - value, value - interval.low);
  if (!std::isfinite(value)) return decimal_text(value, 4);
  // One chunk alone. Files write infinities as null, which are read as no number.
  if (!std::isfinite(arm)) return decimal_text(value, 4) + "±∞";
  if (value != 0 && std::abs(value) < 0.001) return fmt::format("{:.1e}±{:.0e}", value, arm);
  const std::string text = decimal_text(value, 4);
  if (text.find('e') != std::string::npos) return fmt::format("{}±{:.0e}", text, arm);
  const std::size_t point = text.find('.');
  const int decimals = point == std::string::npos ? 0 : static_cast<int>(text.size() - point - 1);
  return arm < 1e4 ? fmt::format("{}±{:.{}f}", text, arm, decimals)
                   : fmt::format("{}±{:.0e}", text, arm);
}

std::string count_text(std::int64_t count) {
  std::string digits = fmt::format("{}", count);
  const std::size_t first = digits.starts_with('-') ? 1 : 0;
  for (std::size_t end = digits.size(); end > first + 3; end -= 3) digits.insert(end - 3, " ");
  return digits;
}

}  // namespace quantlane
