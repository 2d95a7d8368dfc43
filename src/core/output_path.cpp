#include "core/output_path.h"

#include <string>
#include <system_error>

#include "core/check.h"

namespace quantlane {
namespace fs = std::filesystem;
namespace {

constexpr int kMostLinks = 40;  // as the kernel follows

// weakly_canonical() takes what is behind a missing folder as it is spelled: where that leads back
// to something that exists, its links are still to be followed.
fs::path without_links(fs::path path) {
  for (int i = 0; i < kMostLinks; ++i) {
    std::error_code code;
    fs::path next = fs::weakly_canonical(path, code);
    if (code) next = path.lexically_normal();
    if (!next.has_filename() && next.has_relative_path()) next = next.parent_path();
    if (next == path) break;
    path = std::move(next);
  }
  return path;
}

}  // namespace

fs::path place_of(const fs::path& path) {
  std::error_code code;
  fs::path whole = fs::absolute(path, code);
  if (code) whole = path;
  if (!whole.has_filename() && whole.has_relative_path()) whole = whole.parent_path();
  const fs::path name = whole.filename();
  if (name.empty() || name == "." || name == "..") return without_links(whole);
  return without_links(whole.parent_path()) / name;
}

bool is_taken(const fs::path& path) {
  std::error_code code;
  return fs::exists(fs::symlink_status(place_of(path), code));
}

Result<bool> check_vacant(const fs::path& path, bool replace, std::string_view option) {
  const bool taken = is_taken(path);
  if (!taken || replace) return taken;
  return fail(
      invalid("choosing an output")
          .in(path.string())
          .expects("a path that does not exist yet")
          .advise("choose another " + std::string(option) + ", or add --force to replace it"));
}

}  // namespace quantlane
