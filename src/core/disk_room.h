// Room on disk, asked for before it is needed; the same words wherever there is too little.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "core/descriptor.h"
#include "quantlane/result.h"

namespace quantlane {

// Bytes that this user may still write below `path` (which need not exist); nullopt where the file
// system does not say.
std::optional<std::uint64_t> available_bytes(const std::filesystem::path& path);
// kIo where fewer than `bytes` are available for `path`, or no file may become as large as
// `largest` (the limit of the process). Nothing is set aside.
Result<void> check_room(const std::string& attempted, const std::filesystem::path& path,
                        std::uint64_t bytes, std::uint64_t largest);

// Whether errno `code` says that there is too little room: a full disk, a quota, a limit of size.
bool means_no_room(int code);
// What to say of that: `needed` bytes, what is available, which limit it was.
Error no_room(std::string attempted, const std::filesystem::path& path, std::uint64_t needed,
              int code);
// Has the file system set aside the first `bytes` of an open file, which is as long then; errno, or
// 0 also where it cannot do that: a full disk then shows when it is written to.
int reserve_room(int descriptor, std::uint64_t bytes);

// A file without a name: whatever ends this process, nothing is left.
class ScratchFile {
 public:
  // In `folder`, or the nearest that exists above it, with room for `bytes` set aside.
  static Result<ScratchFile> reserve(const std::filesystem::path& folder, std::uint64_t bytes);

  // No less than before.
  Result<void> grow(std::uint64_t bytes);
  [[nodiscard]] int descriptor() const { return descriptor_.get(); }
  // Errors of reading and writing.
  [[nodiscard]] Error error(std::uint64_t bytes, int code) const;

 private:
  ScratchFile() = default;
  Descriptor descriptor_;
  std::uint64_t reserved_ = 0;
  std::filesystem::path folder_;
};

}  // namespace quantlane
