// Writing rendered reports to disk.
#pragma once
#include <filesystem>

#include "quantlane/compare.h"
#include "quantlane/result.h"

namespace quantlane {
// The page of to_html(), whole or not at all.
Result<void> write_html(const CompareReport& report, const std::filesystem::path& path);
}  // namespace quantlane
