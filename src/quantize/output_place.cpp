#include "quantize/output_place.h"

#include <algorithm>
#include <string>

#include "containers/dialects/dialect.h"
#include "containers/gguf.h"
#include "core/check.h"
#include "core/file.h"
#include "core/output_path.h"
#include "quantize/folder/companion_files.h"

namespace quantlane {
namespace {

constexpr std::string_view kAttempt = "choosing an output";

Error refused(const fs::path& out) { return invalid(std::string(kAttempt)).in(out.string()); }

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

Result<void> check_replaced(const fs::path& out) {
  std::error_code code;
  if (fs::is_directory(place_of(out), code)) return check_replaced_folder(out);
  return check_replaceable(out, kGgufMagic);
}

}  // namespace

std::vector<InputPath> inputs_of(const Checkpoint& source) {
  const std::string name = "the source";
  std::vector<InputPath> inputs{{.name = name, .path = source.path(), .whole = true}};
  // A split source has more files than the one that names it.
  for (const std::string& file : source.container().files()) {
    inputs.push_back({.name = name, .path = file});
  }
  std::error_code code;
  for (const auto& entry : fs::directory_iterator(source.path(), code)) {
    if (entry.is_symlink(code)) inputs.push_back({.name = name, .path = entry.path()});
  }
  return inputs;
}

Result<void> check_output(const fs::path& out, bool replace) {
  if (out.empty()) {
    return fail(usage_error(std::string(kAttempt)).expects("a path").got("an empty one"));
  }
  QUANTLANE_TRY(const bool taken, check_vacant(out, replace));
  if (taken) {
    const bool file = out.extension() == ".gguf";
    QUANTLANE_TRY_VOID(file ? check_replaceable(out, kGgufMagic) : check_replaced(out));
  }
  return check_writable(out);
}

ReplaceCheck replaceable_folder(bool replace) {
  return replace ? ReplaceCheck(check_replaced) : keep_others;
}

ReplaceCheck replaceable_gguf(bool replace) {
  return replaceable(replace, std::string(kGgufMagic));
}

}  // namespace quantlane
