// What finished work may take the place of, asked when it is put there.
#pragma once
#include <filesystem>
#include <functional>
#include <optional>

#include "quantlane/result.h"

namespace quantlane {

// Asked of what lies at the place of an output (by then perhaps under another name in that folder):
// an error where it must stay. An empty one: anything may be replaced.
using ReplaceCheck = std::function<Result<void>(const std::filesystem::path& found)>;

// The check of work that replaces nothing.
Result<void> keep_others(const std::filesystem::path& found);

// Puts the finished `from` at `to`, where nothing is or what `may_replace` allows, which is removed
// then. It is asked before, and again of what has been moved away, so that nothing that others make
// meanwhile is lost; where the file system can exchange names there is something at `to` at any
// moment. Else the reason, and both stay as they are.
Result<std::optional<Error>> put_in_place(const std::filesystem::path& from,
                                          const std::filesystem::path& to,
                                          const ReplaceCheck& may_replace);
// Removes what is at `path`, if something is, under the same rule.
Result<std::optional<Error>> remove_allowed(const std::filesystem::path& path,
                                            const ReplaceCheck& may_replace);

}  // namespace quantlane
