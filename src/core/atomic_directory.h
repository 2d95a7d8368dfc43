// A folder that appears whole or not at all.
#pragma once
#include <filesystem>

#include "quantlane/result.h"

namespace quantlane {

namespace fs = std::filesystem;

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

}  // namespace quantlane
