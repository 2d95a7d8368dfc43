// Linears of a folder that get another scheme than the lane's: "down_proj=w8a16" in a w4a16 lane.
#pragma once
#include <optional>
#include <string>

#include "containers/dialects/dialect.h"
#include "quantize/lanes/lane_variants.h"
#include "quantlane/result.h"

namespace quantlane {

struct Lane;

struct SchemeOverride {
  std::string pattern;                 // PCRE2, found anywhere in the name of a module
  std::string type;                    // "w8a16", as the user named it; "keep"
  std::optional<LinearScheme> scheme;  // nullopt: such Linears stay as they are
  LaneGroups groups = {};
};

// Of `text`, "PATTERN=LANE" or "PATTERN=keep". The lane has the dialect of `lane`, which must hold
// several schemes, and neither transforms nor an algorithm; kUsage otherwise.
Result<SchemeOverride> parse_scheme_override(const std::string& text, const Lane& lane);

}  // namespace quantlane
