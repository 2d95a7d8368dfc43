// Where an output will lie: asked before anything is written or made.
#pragma once
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "quantlane/result.h"

namespace quantlane {

// `path` as it will be once the folders that it goes through are made: absolute, without links and
// ".." ("new/../out" leads to "out", also while there is no "new"). A link at its end is kept: it
// is what would be replaced. Makes nothing.
std::filesystem::path place_of(const std::filesystem::path& path);

// `path` as an output is made and named: without slashes at its end; place_of() where "." or ".."
// follow a name, as they lead nowhere while that folder is missing.
std::filesystem::path plain_spelling(const std::filesystem::path& path);

// Whether something lies at place_of(path): a file, a folder, or a link wherever it leads.
bool is_taken(const std::filesystem::path& path);

// is_taken(); an error where it is and `replace` is not set, or by a device, pipe or socket.
// `option` is how the output is given.
Result<bool> check_vacant(const std::filesystem::path& path, bool replace,
                          std::string_view option = "output");

// Something that a command reads.
struct InputPath {
  std::string name;  // as the user knows it: "the source", "--imatrix"
  std::filesystem::path path;
  bool whole = false;  // a folder into which no output may go
};

// kInvalidArgument where an output at `out` would be one of `inputs` or hold it, by whatever
// spelling, link or mount: replacing it would destroy what the command reads. Empty paths are
// apart from everything.
Result<void> check_apart(const std::filesystem::path& out, std::span<const InputPath> inputs);

}  // namespace quantlane
