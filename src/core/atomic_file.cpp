#include "core/atomic_file.h"

#include <cerrno>
#include <cstdio>
#include <string>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "core/check.h"
#include "core/disk_room.h"
#include "core/output_path.h"
#include "core/placing.h"
#include "core/system_error.h"

namespace quantlane {

Result<AtomicFile> AtomicFile::create(const fs::path& path, ReplaceCheck may_replace) {
  std::error_code code;
  if (!may_replace && fs::exists(path, code) && !fs::is_regular_file(path, code)) {
    return fail(io_error("creating a file")
                    .in(path.string())
                    .expects("a new file or a regular one")
                    .got(fs::is_directory(path, code) ? "a folder" : "a device or the like"));
  }
  AtomicFile file;
  file.may_replace_ = std::move(may_replace);
  file.target_ = plain_spelling(path);
  file.temporary_ = temporary_name(path);
  QUANTLANE_TRY_VOID(make_parent(file.target_));
  remove_leftovers(path);
  file.descriptor_ = ::open(file.temporary_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (file.descriptor_ < 0) return fail(system_error("creating a file", path, errno));
  return file;
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      position_(other.position_),
      may_replace_(std::move(other.may_replace_)),
      target_(std::move(other.target_)),
      temporary_(std::exchange(other.temporary_, {})) {}

AtomicFile& AtomicFile::operator=(AtomicFile&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(position_, other.position_);
  std::swap(may_replace_, other.may_replace_);
  std::swap(target_, other.target_);
  std::swap(temporary_, other.temporary_);
  return *this;
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
  if (!temporary_.empty()) ::unlink(temporary_.c_str());
}

Result<void> AtomicFile::reserve(std::uint64_t bytes) {
  const int code = reserve_room(descriptor_, bytes);
  if (code == 0) return {};
  return fail(no_room("writing a file", target_, bytes, code));
}

Result<void> AtomicFile::append(std::span<const std::byte> bytes) {
  QUANTLANE_TRY_VOID(write_at(position_, bytes));
  position_ += bytes.size();
  return {};
}

Result<void> AtomicFile::append(std::string_view text) {
  return append(std::as_bytes(std::span(text.data(), text.size())));
}

Result<void> AtomicFile::write_at(std::uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written =
        ::pwrite(descriptor_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      const int code = written == 0 ? EIO : errno;
      Error error = system_error("writing a file", target_, code);
      if (means_no_room(code)) {
        const std::uint64_t before = code == EFBIG ? offset : 0;
        error = no_room("writing a file", target_, before + bytes.size(), code);
      }
      return fail(std::move(error).at(offset));
    }
    offset += static_cast<std::uint64_t>(written);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  return {};
}

Result<void> AtomicFile::finish() {
  if (descriptor_ < 0) return {};
  const int synced = ::fsync(descriptor_);
  const int sync_code = errno;
  const int closed = ::close(std::exchange(descriptor_, -1));
  if (synced != 0) return fail(system_error("flushing a file to disk", target_, sync_code));
  if (closed != 0) return fail(system_error("closing a file", target_, errno));
  return {};
}

Result<void> AtomicFile::commit() {
  QUANTLANE_TRY(auto refused, place());
  if (!refused) return {};
  QUANTLANE_TRY(const fs::path other, move_beside(temporary_, target_));
  temporary_.clear();
  QUANTLANE_TRY_VOID(sync_folder(other.parent_path()));
  return fail(taken_meanwhile("file", std::move(*refused), target_, other));
}

Result<std::optional<Error>> AtomicFile::place() {
  QUANTLANE_TRY_VOID(finish());
  if (may_replace_) {
    QUANTLANE_TRY(auto refused, put_in_place(temporary_, target_, may_replace_));
    if (refused) return refused;
  } else {
    if (::rename(temporary_.c_str(), target_.c_str()) != 0) {
      return fail(system_error("putting a finished file in place", target_, errno));
    }
    QUANTLANE_TRY_VOID(sync_folder(target_.parent_path()));
  }
  temporary_.clear();
  return std::nullopt;
}

Result<void> AtomicFile::move_to(const fs::path& other) {
  QUANTLANE_TRY(const bool moved, move_to_vacant(temporary_.empty() ? target_ : temporary_, other));
  if (!moved) return fail(system_error("putting a finished file in place", other, EEXIST));
  temporary_.clear();
  return sync_folder(other.parent_path());
}

}  // namespace quantlane
