#include "core/atomic_directory.h"

#include <cstdio>
#include <string>
#include <utility>

#include <fcntl.h>

#include "core/check.h"
#include "core/output_path.h"
#include "core/placing.h"
#include "core/system_error.h"

namespace quantlane {

Result<AtomicDirectory> AtomicDirectory::create(const fs::path& target, bool keeps_others) {
  AtomicDirectory directory;
  directory.target_ = plain_spelling(target);
  directory.temporary_ = temporary_name(target);
  QUANTLANE_TRY_VOID(make_parent(directory.target_));
  remove_leftovers(target);
  directory.replaces_ = !keeps_others;
  std::error_code code;
  fs::create_directory(directory.temporary_, code);
  if (code) return fail(system_error("creating a folder", target, code.value()));
  return directory;
}

AtomicDirectory::AtomicDirectory(AtomicDirectory&& other) noexcept
    : target_(std::move(other.target_)),
      temporary_(std::exchange(other.temporary_, {})),
      replaces_(other.replaces_) {}

Result<void> AtomicDirectory::keep_beside() {
  const fs::path other = place_of_finished(target_);
  QUANTLANE_TRY(const bool moved, move_to_vacant(temporary_, other));
  if (!moved) return keep_beside();
  temporary_.clear();
  return fail(taken_meanwhile("folder", target_, other));
}

AtomicDirectory::~AtomicDirectory() {
  std::error_code ignored;
  if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
}

Result<void> AtomicDirectory::commit() {
  if (!replaces_) {
    QUANTLANE_TRY(const bool placed, move_to_vacant(temporary_, target_));
    if (!placed) return keep_beside();
    temporary_.clear();
    return sync_folder(target_.parent_path());
  }
  // In one step, so that a killed process leaves either folder; what was there then has our
  // temporary name.
  if (::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, target_.c_str(), RENAME_EXCHANGE) == 0) {
    QUANTLANE_TRY_VOID(sync_folder(target_.parent_path()));
    std::error_code ignored;
    fs::remove_all(std::exchange(temporary_, {}), ignored);
    return {};
  }
  std::error_code code;
  fs::path previous;
  if (fs::exists(target_, code)) {  // file systems that cannot exchange
    previous = temporary_name(target_);
    fs::rename(target_, previous, code);
    if (code) return fail(system_error("replacing a folder", target_, code.value()));
  }
  fs::rename(temporary_, target_, code);
  if (code) return fail(system_error("putting a finished folder in place", target_, code.value()));
  temporary_.clear();
  if (!previous.empty()) fs::remove_all(previous, code);
  return sync_folder(target_.parent_path());
}

}  // namespace quantlane
