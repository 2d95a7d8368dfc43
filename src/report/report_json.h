// report.json as text and as a value; the file itself is read by read_report() (compare.h).
#pragma once
#include <string>
#include <string_view>

#include "core/json.h"
#include "quantlane/compare.h"

namespace quantlane {

// The report as docs/report-schema.md describes it. Bytes that are not UTF-8 become U+FFFD; NaN
// and infinities become null when the value is written out.
Json report_value(const CompareReport& report);

// The inverse. `origin` names the source in errors: kCorrupt with the path of the key
// ("lanes[2].quality.ppl") for missing keys and wrong types, kUnsupported for another schema
// version. Unknown keys are ignored; null numbers become NaN.
Result<CompareReport> parse_report(std::string_view text, const std::string& origin);

}  // namespace quantlane
