#include "core/atomic_directory.h"

#include <string>
#include <utility>

#include "core/check.h"
#include "core/output_path.h"
#include "core/placing.h"
#include "core/system_error.h"

namespace quantlane {

Result<AtomicDirectory> AtomicDirectory::create(const fs::path& target, ReplaceCheck may_replace) {
  AtomicDirectory directory;
  directory.target_ = plain_spelling(target);
  directory.temporary_ = temporary_name(target);
  QUANTLANE_TRY_VOID(make_parent(directory.target_));
  remove_leftovers(target);
  directory.may_replace_ = std::move(may_replace);
  std::error_code code;
  fs::create_directory(directory.temporary_, code);
  if (code) return fail(system_error("creating a folder", target, code.value()));
  return directory;
}

AtomicDirectory::AtomicDirectory(AtomicDirectory&& other) noexcept
    : target_(std::move(other.target_)),
      temporary_(std::exchange(other.temporary_, {})),
      may_replace_(std::move(other.may_replace_)) {}

AtomicDirectory::~AtomicDirectory() {
  std::error_code ignored;
  if (!temporary_.empty()) fs::remove_all(temporary_, ignored);
}

Result<void> AtomicDirectory::commit() {
  QUANTLANE_TRY(auto refused, put_in_place(temporary_, target_, may_replace_));
  if (refused) {
    QUANTLANE_TRY(const fs::path other, move_beside(temporary_, target_));
    temporary_.clear();
    return fail(taken_meanwhile("folder", std::move(*refused), target_, other));
  }
  temporary_.clear();
  return {};
}

}  // namespace quantlane
