#include "quantize/output_place.h"

#include <algorithm>
#include <string>

#include "containers/dialects/dialect.h"
#include "core/check.h"
#include "core/file.h"
#include "core/output_path.h"
#include "quantize/folder/companion_files.h"

namespace quantlane {
namespace {

constexpr std::string_view kAttempt = "choosing an output";

Error refused(const fs::path& out) { return invalid(std::string(kAttempt)).in(out.string()); }

// Whether `inner` is `outer` or lies below it; both need not exist.
bool is_within(const fs::path& inner, const fs::path& outer) {
  const auto [end_of_outer, rest] = std::ranges::mismatch(outer, inner);
  return end_of_outer == outer.end();
}

// Where a link at the end leads, too.
fs::path resolved(const fs::path& path) {
  const fs::path place = place_of(path);
  std::error_code code;
  const fs::path whole = fs::weakly_canonical(place, code);
  return code ? place : whole;
}

bool is_side_file(std::string_view name) {
  return std::ranges::any_of(dialects(),
                             [&](const Dialect* row) { return row->side_file == name; });
}

// The first entry that a checkpoint folder does not have; empty when all belong to one.
std::string foreign_entry(const fs::path& folder) {
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(folder, code)) {
    const std::string name = entry.path().filename().string();
    if (entry.is_symlink(code) || !entry.is_regular_file(code)) return name;
    const bool weights =
        name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json");
    if (weights || name == "config.json" || is_side_file(name)) continue;
    if (!is_companion_file(entry.path())) return name;
  }
  return code ? code.message() : "";
}

Result<void> check_replaced_folder(const fs::path& out) {
  const fs::path folder = place_of(out);
  const std::string foreign = foreign_entry(folder);
  if (!foreign.empty()) {
    return fail(refused(out)
                    .of(foreign)
                    .expects("a checkpoint folder to replace, and nothing else in it")
                    .got("an entry that is not part of one")
                    .advise("move it away, or choose another output"));
  }
  std::error_code code;
  if (fs::is_empty(folder, code) || fs::exists(folder / "config.json", code)) return {};
  return fail(refused(out)
                  .of("config.json")
                  .expects("a checkpoint folder to replace, which has one")
                  .got("weights alone")
                  .advise("move them away, or choose another output"));
}

}  // namespace

bool is_apart(const fs::path& out, const fs::path& source) {
  const fs::path to = resolved(out);
  const fs::path from = resolved(source);
  return !is_within(to, from) && !is_within(from, to);
}

Result<void> check_output(const fs::path& out, const fs::path& source, bool replace) {
  if (out.empty()) {
    return fail(usage_error(std::string(kAttempt)).expects("a path").got("an empty one"));
  }
  if (!is_apart(out, source)) {
    const fs::path from = resolved(source);
    return fail(refused(out)
                    .expects("a place apart from the source, " + from.string())
                    .got(resolved(out) == from ? "the source itself" : "one inside the other")
                    .advise("choose another output"));
  }
  QUANTLANE_TRY(const bool taken, check_vacant(out, replace));
  if (taken) {
    std::error_code code;
    if (fs::is_directory(place_of(out), code)) {
      QUANTLANE_TRY_VOID(check_replaced_folder(out));
    } else {
      QUANTLANE_TRY_VOID(check_replaceable(out, "GGUF"));
    }
  }
  return check_writable(out);
}

}  // namespace quantlane
