// Any bytes as an importance matrix: an error with its place, or entries that are whole, finite and
// no larger than the file, whose means are finite, and that can be merged with themselves.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "calibrate/imatrix.h"
#include "calibrate/imatrix_model.h"
#include "core/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  auto parsed = quantlane::imatrix_format_of(bytes).parse(bytes, "input");
  if (!parsed) {
    QUANTLANE_CHECK(parsed.error().file == "input" && !parsed.error().message().empty());
    return 0;
  }
  std::size_t values = 0;
  for (const auto& [name, entry] : parsed->entries) {
    values += entry.sums.size();
    QUANTLANE_CHECK(!entry.counts.empty() && entry.sums.size() % entry.counts.size() == 0);
    for (const float mean : entry.means()) QUANTLANE_CHECK(std::isfinite(mean) && mean >= 0);
  }
  QUANTLANE_CHECK(values > 0 && values <= size / sizeof(float));
  static_cast<void>(quantlane::coverage_notices(*parsed));
  QUANTLANE_CHECK(parsed->merge(*parsed, "itself").has_value());
  return 0;
}
