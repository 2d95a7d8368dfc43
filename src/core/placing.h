// How outputs get to their place: under a temporary name beside it, then by a rename.
#pragma once
#include <filesystem>
#include <string_view>

#include "quantlane/result.h"

namespace quantlane {

namespace fs = std::filesystem;

// "OUT" + suffix for an output OUT, which may be spelled "OUT/".
fs::path beside(const fs::path& out, std::string_view suffix);
// Removes the temporaries of `target` whose processes were killed.
void remove_leftovers(const fs::path& target);
// A name beside `target`, which remove_leftovers() knows; it differs between processes and between
// files of one process.
fs::path temporary_name(const fs::path& target);
// The folders that `path` goes through.
Result<void> make_parent(const fs::path& path);
// Renames `from` to `to` if nothing is there; else false, and both stay as they are. Where renames
// cannot refuse, links do; where there are none, either, an entry that is made between the question
// and the rename is lost.
Result<bool> move_to_vacant(const fs::path& from, const fs::path& to);
// Somebody else's entry has taken the name `taken` of finished work: "OUT.finished-PROCESS" beside
// `out`, or the same with "-2" and so on, where nothing is.
fs::path place_of_finished(const fs::path& out);
// Moves `from` to place_of_finished(out), which is returned.
Result<fs::path> move_beside(const fs::path& from, const fs::path& out);
// The error of work that lies at `kept` because `taken` must stay. `what`: "file", "folder".
Error taken_meanwhile(std::string_view what, Error reason, const fs::path& taken,
                      const fs::path& kept);
// After a rename in it.
Result<void> sync_folder(const fs::path& folder);

}  // namespace quantlane
