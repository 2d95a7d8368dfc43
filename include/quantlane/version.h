#pragma once
#include <string_view>

namespace quantlane {
// "0.1.0"; part of every cache key and report.
std::string_view version();
}  // namespace quantlane
