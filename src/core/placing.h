// How outputs get to their place: under a temporary name beside it, then by a rename.
#pragma once
#include <filesystem>
#include <string_view>

#include "quantlane/result.h"

namespace quantlane {

namespace fs = std::filesystem;

fs::path without_trailing_slash(const fs::path& path);
// "OUT" + suffix for an output OUT, which may be spelled "OUT/".
fs::path beside(const fs::path& out, std::string_view suffix);
// Removes the temporaries of `target` whose processes were killed.
void remove_leftovers(const fs::path& target);
// A name beside `target`, which remove_leftovers() knows; it differs between processes and between
// files of one process.
fs::path temporary_name(const fs::path& target);
// The folders that `path` goes through.
Result<void> make_parent(const fs::path& path);
// After a rename in it.
Result<void> sync_folder(const fs::path& folder);

}  // namespace quantlane
