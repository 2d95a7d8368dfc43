// A folder that appears whole or not at all.
#pragma once
#include <filesystem>

#include "core/replacing.h"
#include "quantlane/result.h"

namespace quantlane {

namespace fs = std::filesystem;

// A folder built under a temporary name; commit() exchanges it with `target`, which is there at any
// moment where the file system can do that, and removes what was there before; destruction without
// commit removes it. Leftovers as with AtomicFile.
class AtomicDirectory {
 public:
  // commit() fails where something is at `target` by then that `may_replace` refuses; the finished
  // folder lies beside it, and the error says where.
  static Result<AtomicDirectory> create(const fs::path& target, ReplaceCheck may_replace = {});
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
  fs::path target_;
  fs::path temporary_;
  ReplaceCheck may_replace_;
};

}  // namespace quantlane
