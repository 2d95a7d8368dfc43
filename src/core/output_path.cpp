#include "core/output_path.h"

#include <string>
#include <system_error>
#include <utility>

#include "core/check.h"

namespace quantlane {
namespace fs = std::filesystem;
namespace {

// Step by step: weakly_canonical() takes all that is behind a missing folder as it is spelled, so
// that "new/../link/.." would not be where the link leads.
fs::path without_links(const fs::path& path) {
  fs::path at = path.root_path();
  for (const fs::path& step : path.relative_path()) {
    if (step.empty() || step == ".") continue;
    if (step == "..") {
      at = at.parent_path();
      continue;
    }
    at /= step;
    std::error_code code;
    if (!fs::is_symlink(at, code)) continue;
    fs::path target = fs::canonical(at, code);
    if (!code) at = std::move(target);
  }
  return at;
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
