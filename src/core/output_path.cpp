#include "core/output_path.h"

#include <algorithm>
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

// Whether `inner` is `outer` or lies below it, as they are spelled.
bool is_within(const fs::path& inner, const fs::path& outer) {
  return std::ranges::mismatch(outer, inner).in1 == outer.end();
}

// Where a link at the end leads, too.
fs::path resolved(const fs::path& path) {
  const fs::path place = place_of(path);
  std::error_code code;
  const fs::path whole = fs::weakly_canonical(place, code);
  return code ? place : whole;
}

// Whether `inner` is `outer` or lies below it; both need not exist. A link is one thing, and where
// it leads another; mounts and hard links give one thing two places.
bool holds(const fs::path& outer, const fs::path& inner) {
  const fs::path folder = resolved(outer);
  if (is_within(place_of(inner), place_of(outer)) || is_within(resolved(inner), folder))
    return true;
  std::error_code code;
  for (fs::path at = resolved(inner); at.has_relative_path(); at = at.parent_path()) {
    if (fs::equivalent(at, folder, code)) return true;
  }
  return false;
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

fs::path plain_spelling(const fs::path& path) {
  fs::path plain = path;
  if (!plain.has_filename() && plain.has_relative_path()) plain = plain.parent_path();
  bool below = false;  // a name, which ".." would leave again
  for (const fs::path& step : plain) {
    const bool dots = step == "." || step == "..";
    if (dots && below) return place_of(path);
    below = below || !dots;
  }
  if (!below) return place_of(path);
  return plain;
}

bool is_taken(const fs::path& path) {
  std::error_code code;
  return fs::exists(fs::symlink_status(place_of(path), code));
}

Result<bool> check_vacant(const fs::path& path, bool replace, std::string_view option) {
  const bool taken = is_taken(path);
  std::error_code code;
  if (const auto status = fs::status(place_of(path), code); taken && fs::is_other(status)) {
    return fail(invalid("choosing an output")
                    .in(path.string())
                    .expects("a new path, or a file or folder to replace")
                    .got(fs::is_fifo(status)     ? "a pipe"
                         : fs::is_socket(status) ? "a socket"
                                                 : "a device")
                    .advise("choose another " + std::string(option) + ": it is never replaced"));
  }
  if (!taken || replace) return taken;
  return fail(
      invalid("choosing an output")
          .in(path.string())
          .expects("a path that does not exist yet")
          .advise("choose another " + std::string(option) + ", or add --force to replace it"));
}

Result<void> check_apart(const fs::path& out, std::span<const InputPath> inputs) {
  for (const InputPath& input : inputs) {
    if (out.empty() || input.path.empty()) continue;
    const bool held = holds(out, input.path);
    const bool inside = input.whole && holds(input.path, out);
    if (!held && !inside) continue;
    return fail(invalid("choosing an output")
                    .in(out.string())
                    .expects("a place apart from " + input.name + ", " + input.path.string())
                    .got(!held                                        ? "one inside it"
                         : !inside && fs::is_directory(resolved(out)) ? "a folder that holds it"
                                                                      : input.name + " itself")
                    .advise("choose another output"));
  }
  return {};
}

}  // namespace quantlane
