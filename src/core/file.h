// Files: read-only mappings, whole texts, what is asked of a place before long work.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "core/replacing.h"
#include "quantlane/result.h"

namespace quantlane {

namespace fs = std::filesystem;

// A read-only private mapping of a whole regular file. Movable; the bytes live as long as it does.
class MappedFile {
 public:
  static Result<MappedFile> open(const fs::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  [[nodiscard]] std::span<const std::byte> bytes() const { return {data_, size_}; }
  [[nodiscard]] const std::string& path() const { return path_; }
  // Tells the kernel that [offset, offset+size) is not needed soon (keeps the resident set small
  // while streaming); reading it again is still correct.
  void drop(std::uint64_t offset, std::uint64_t size) const;

 private:
  MappedFile() = default;
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::string path_;
};

// The whole file as text; kResourceLimit above `max_bytes`.
Result<std::string> read_text(const fs::path& path,
                              std::uint64_t max_bytes = std::uint64_t{1} << 32);
// Replaces `path` by `text` in one step; `may_replace` as AtomicFile::create() has it.
Result<void> write_text(const fs::path& path, std::string_view text, ReplaceCheck may_replace = {});
// Fails where `target` could not be created because of a missing permission or a file in place of a
// folder; creates nothing. Asked before long work, whose own writes still report their errors.
Result<void> check_writable(const fs::path& target);
// Fails where `target` exists and is not a file that begins with `magic`: what a program wrote it
// may replace, a user's other files it may not. Creates and removes nothing.
Result<void> check_replaceable(const fs::path& target, std::string_view magic);
// The same as a ReplaceCheck; keep_others() where `replaces` is not set.
ReplaceCheck replaceable(bool replaces, std::string magic);
// Size of a file, or of all regular files below a folder; 0 where it does not exist.
std::uint64_t size_on_disk(const fs::path& path);
// Checks that `text` is valid UTF-8; the error gives the offset of the first bad byte.
Result<void> check_utf8(std::string_view text, const std::string& path);

}  // namespace quantlane
