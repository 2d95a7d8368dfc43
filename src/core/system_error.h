// Errors of the operating system about a path.
#pragma once
#include <filesystem>
#include <string>

#include "quantlane/result.h"

namespace quantlane {

// `code` is an errno; the hint is what helps against it.
Error system_error(std::string attempted, const std::filesystem::path& path, int code);

}  // namespace quantlane
