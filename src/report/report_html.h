// Parts of report.html that tests look at.
#pragma once
#include <string>
#include <string_view>

namespace quantlane {

// "sha256-…" of a script or style sheet for a content security policy (CSP level 3, §2.3.1).
std::string csp_hash(std::string_view text);

}  // namespace quantlane
