// Where an output will lie: asked before anything is written or made.
#pragma once
#include <filesystem>
#include <string_view>

#include "quantlane/result.h"

namespace quantlane {

// `path` as it will be once the folders that it goes through are made: absolute, without links and
// ".." ("new/../out" leads to "out", also while there is no "new"). A link at its end is kept: it
// is what would be replaced. Makes nothing.
std::filesystem::path place_of(const std::filesystem::path& path);

// Whether something lies at place_of(path): a file, a folder, or a link wherever it leads.
bool is_taken(const std::filesystem::path& path);

// is_taken(); an error where it is and `replace` is not set. `option` is how the output is given.
Result<bool> check_vacant(const std::filesystem::path& path, bool replace,
                          std::string_view option = "output");

}  // namespace quantlane
