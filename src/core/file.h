// Files: read-only mappings, writes that appear whole or not at all.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

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

// A file written under a temporary name beside its target; commit() makes it appear with all its
// bytes on disk, destruction without commit removes it. create() also removes what killed processes
// left of the same target, and refuses one that exists and is no regular file (a device, a folder).
// Not thread-safe, except write_at().
class AtomicFile {
 public:
  static Result<AtomicFile> create(const fs::path& path);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&& other) noexcept;
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;
  ~AtomicFile();

  // The file will have `bytes` bytes: kIo at once where the disk has no room for them.
  Result<void> reserve(std::uint64_t bytes);
  Result<void> append(std::span<const std::byte> bytes);
  Result<void> append(std::string_view text);
  // Positional write, safe from several threads on disjoint ranges; does not move the append
  // cursor.
  Result<void> write_at(std::uint64_t offset, std::span<const std::byte> bytes);
  // Bytes appended so far.
  [[nodiscard]] std::uint64_t position() const { return position_; }
  // fsync and close: nothing can be written any more, the file still has its temporary name. For
  // several files that appear together; commit() calls it.
  Result<void> finish();
  // finish(), rename over the target, fsync of the folder.
  Result<void> commit();

 private:
  AtomicFile() = default;
  int descriptor_ = -1;
  std::uint64_t position_ = 0;
  fs::path target_;
  fs::path temporary_;
};

// "OUT" + suffix for an output OUT, which may be spelled "OUT/".
std::filesystem::path beside(const std::filesystem::path& out, std::string_view suffix);
// Removes the temporaries of `target` whose processes were killed.
void remove_leftovers(const fs::path& target);

// A folder built under a temporary name; commit() exchanges it with `target`, which is there at any
// moment where the file system can do that, and removes what was there before; destruction without
// commit removes it. Leftovers as with AtomicFile.
class AtomicDirectory {
 public:
  // With `keeps_others`, commit() fails where something is at `target` by then; the finished folder
  // lies beside it, and the error says where.
  static Result<AtomicDirectory> create(const fs::path& target, bool keeps_others = false);
  AtomicDirectory(AtomicDirectory&& other) noexcept;
  AtomicDirectory& operator=(AtomicDirectory&&) = delete;
  AtomicDirectory(const AtomicDirectory&) = delete;
  AtomicDirectory& operator=(const AtomicDirectory&) = delete;
  ~AtomicDirectory();
  // Where to put the files until commit().
  [[nodiscard]] const fs::path& path() const { return temporary_; }
  Result<void> commit();

 private:
  AtomicDirectory() = default;
  Result<void> keep_beside();
  fs::path target_;
  fs::path temporary_;
  bool replaces_ = true;
};

// The whole file as text; kResourceLimit above `max_bytes`.
Result<std::string> read_text(const fs::path& path,
                              std::uint64_t max_bytes = std::uint64_t{1} << 32);
// Replaces `path` by `text` in one step.
Result<void> write_text(const fs::path& path, std::string_view text);
// Fails where `target` could not be created because of a missing permission or a file in place of a
// folder; creates nothing. Asked before long work, whose own writes still report their errors.
Result<void> check_writable(const fs::path& target);
// Fails where `target` exists and is not a file that begins with `magic`: what a program wrote it
// may replace, a user's other files it may not. Creates and removes nothing.
Result<void> check_replaceable(const fs::path& target, std::string_view magic);
// Size of a file, or of all regular files below a folder; 0 where it does not exist.
std::uint64_t size_on_disk(const fs::path& path);
// Checks that `text` is valid UTF-8; the error gives the offset of the first bad byte.
Result<void> check_utf8(std::string_view text, const std::string& path);

}  // namespace quantlane
