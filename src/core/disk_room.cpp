#include "core/disk_room.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "core/check.h"
#include "core/open_files.h"

namespace quantlane {
namespace fs = std::filesystem;
namespace {

std::string size_text(std::uint64_t bytes) {
  return fmt::format("{} bytes ({:.1f} MiB)", bytes, static_cast<double>(bytes) / 0x1p20);
}

fs::path nearest_folder(const fs::path& path) {
  std::error_code code;
  fs::path folder = fs::absolute(path.empty() ? fs::path(".") : path, code);
  while (!fs::is_directory(folder, code) && folder.has_relative_path()) {
    folder = folder.parent_path();
  }
  return folder;
}

// Of the process, in bytes; nullopt where there is none.
std::optional<std::uint64_t> file_size_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return {};
  return limit.rlim_cur;
}

// A file that has no name, or loses it at once where the file system knows no such files.
Descriptor open_unnamed(const fs::path& folder) {
  Descriptor unnamed(::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
  if (unnamed.valid()) return unnamed;
  std::string name = (folder / ".quantlane-hidden-XXXXXX").string();
  Descriptor named(::mkostemp(name.data(), O_CLOEXEC));
  if (named.valid()) ::unlink(name.c_str());
  return named;
}

}  // namespace

std::optional<std::uint64_t> available_bytes(const fs::path& path) {
  struct statvfs status{};
  if (::statvfs(nearest_folder(path).c_str(), &status) != 0 || status.f_blocks == 0) return {};
  return std::uint64_t{status.f_bavail} * status.f_frsize;
}

Result<void> check_room(const std::string& attempted, const fs::path& path, std::uint64_t bytes,
                        std::uint64_t largest) {
  const auto limit = file_size_limit();
  if (limit && largest > *limit) return fail(no_room(attempted, path, largest, EFBIG));
  const auto available = available_bytes(path);
  if (available && bytes > *available) return fail(no_room(attempted, path, bytes, ENOSPC));
  return {};
}

bool means_no_room(int code) { return code == ENOSPC || code == EDQUOT || code == EFBIG; }

Error no_room(std::string attempted, const fs::path& path, std::uint64_t needed, int code) {
  Error error = io_error(std::move(attempted)).in(path.string());
  if (code == EFBIG) {
    const auto limit = file_size_limit();
    return std::move(error)
        .expects("a file of " + size_text(needed))
        .got(limit
                 ? fmt::format("a limit of {} for files of this process (ulimit -f {})",
                               size_text(*limit), *limit / 1024)
                 : std::string("a file system that has no files as large: ") + std::strerror(code))
        .advise(limit ? "ulimit -f unlimited in the shell that starts quantlane"
                      : "choose an output on another file system");
  }
  const auto available = available_bytes(path);
  return std::move(error)
      .expects("room for " + size_text(needed))
      .got(std::string(std::strerror(code)) +
           (available ? ": " + size_text(*available) + " available" : ""))
      .advise("free some space or choose another output folder");
}

int reserve_room(int descriptor, std::uint64_t bytes) {
  if (bytes == 0) return 0;
  int code = 0;
  do {
    code = ::fallocate(descriptor, 0, 0, static_cast<off_t>(bytes)) == 0 ? 0 : errno;
  } while (code == EINTR);
  return means_no_room(code) ? code : 0;
}

Result<ScratchFile> ScratchFile::reserve(const fs::path& folder, std::uint64_t bytes) {
  ScratchFile file;
  file.folder_ = nearest_folder(folder);
  file.descriptor_ = open_unnamed(file.folder_);
  if (!file.descriptor_.valid()) return fail(file.error(bytes, errno));
  QUANTLANE_TRY_VOID(file.grow(bytes));
  return file;
}

Result<void> ScratchFile::grow(std::uint64_t bytes) {
  if (bytes <= reserved_) return {};
  if (const int code = reserve_room(descriptor(), bytes); code != 0)
    return fail(error(bytes, code));
  reserved_ = bytes;
  return {};
}

Error ScratchFile::error(std::uint64_t bytes, int code) const {
  const std::string attempted = "keeping hidden states on disk";
  Error error = means_no_room(code)
                    ? no_room(attempted, folder_, bytes, code)
                    : with_open_file_limit(
                          io_error(attempted).in(folder_.string()).got(std::strerror(code)), code);
  error.hint += std::string(error.hint.empty() ? "choose an output on another disk" : "") +
                ", or allow more memory (--memory-limit)";
  return error;
}

}  // namespace quantlane
