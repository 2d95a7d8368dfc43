// A file that appears whole or not at all.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string_view>

#include "core/replacing.h"
#include "quantlane/result.h"

namespace quantlane {

namespace fs = std::filesystem;

// A file written under a temporary name beside its target; commit() makes it appear with all its
// bytes on disk, destruction without commit removes it. create() also removes what killed processes
// left of the same target, and refuses one that exists and is no regular file (a device, a folder).
// Not thread-safe, except write_at().
class AtomicFile {
 public:
  // commit() fails where something is at `path` by then that `may_replace` refuses; the finished
  // file lies beside it, and the error says where.
  static Result<AtomicFile> create(const fs::path& path, ReplaceCheck may_replace = {});
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
  // The same, but the reason where something is there that must stay: nothing has happened then.
  Result<std::optional<Error>> place();
  // A finished or placed file goes to `other` instead, where nothing is.
  Result<void> move_to(const fs::path& other);

 private:
  AtomicFile() = default;
  int descriptor_ = -1;
  std::uint64_t position_ = 0;
  ReplaceCheck may_replace_;
  fs::path target_;
  fs::path temporary_;  // "" once the file is placed
};

}  // namespace quantlane
