#include "api/defaults.h"

#include <cstdlib>

#include "core/atomic_directory.h"
#include "core/check.h"
#include "core/embedded.h"
#include "core/file.h"
#include "core/hash.h"

namespace quantlane {

std::span<const EmbeddedFile> embedded_canary();

namespace {

constexpr std::string_view kPrefix = "models/canary/";

fs::path cache_root() {
  if (const char* xdg = std::getenv("XDG_CACHE_HOME"); xdg != nullptr && *xdg != '\0') return xdg;
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0')
    return fs::path(home) / ".cache";
  return fs::temp_directory_path();
}

std::string canary_hash() {
  ContentHash hash;
  for (const EmbeddedFile& file : embedded_canary()) {
    hash.add(file.name);
    hash.add(file.text());
  }
  return hash.hex().substr(0, 16);
}

Result<NamedText> embedded_text(std::string_view name) {
  for (const EmbeddedFile& file : embedded_canary()) {
    if (file.name.substr(kPrefix.size()) == name) {
      return NamedText{.name = "embedded " + std::string(name), .text = std::string(file.text())};
    }
  }
  return fail(
      make_error(ErrorCode::kInternal, "looking for an embedded text").of(std::string(name)));
}

Result<NamedText> named_text(const std::optional<fs::path>& file, std::string_view embedded) {
  if (!file) return embedded_text(embedded);
  QUANTLANE_TRY(std::string text, read_text(*file));
  return NamedText{.name = file->string(), .text = std::move(text)};
}

Result<fs::path> unpacked_canary(const fs::path& folder) {
  std::error_code code;
  if (fs::exists(folder / "config.json", code)) return folder;
  QUANTLANE_TRY(AtomicDirectory directory, AtomicDirectory::create(folder));
  for (const EmbeddedFile& file : embedded_canary()) {
    QUANTLANE_TRY_VOID(
        write_text(directory.path() / file.name.substr(kPrefix.size()), file.text()));
  }
  QUANTLANE_TRY_VOID(directory.commit());
  return folder;
}

}  // namespace

Result<fs::path> canary_folder() {
  const fs::path name = fs::path("quantlane") / ("canary-" + canary_hash());
  auto folder = unpacked_canary(cache_root() / name);
  // A home that cannot be written is common in containers.
  return folder ? folder : unpacked_canary(fs::temp_directory_path() / name);
}

Result<NamedText> evaluation_text(const std::optional<fs::path>& file) {
  return named_text(file, "eval_books.txt");
}
Result<NamedText> calibration_text(const std::optional<fs::path>& file) {
  return named_text(file, "calibration.txt");
}

Result<TokenChunks> calibration_chunks(const Checkpoint& checkpoint, const NamedText& text,
                                       std::int64_t limit) {
  return make_chunks(checkpoint, text.text, text.name,
                     chunk_within_context(checkpoint, kCalibrationChunk), limit);
}

}  // namespace quantlane
