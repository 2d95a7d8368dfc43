#include "core/replacing.h"

#include <cerrno>
#include <cstdio>

#include <fcntl.h>

#include "core/check.h"
#include "core/output_path.h"
#include "core/placing.h"
#include "core/system_error.h"

namespace quantlane {
namespace fs = std::filesystem;
namespace {

std::optional<Error> refusal(const ReplaceCheck& may_replace, const fs::path& found) {
  if (!may_replace) return std::nullopt;
  const auto allowed = may_replace(found);
  return allowed ? std::nullopt : std::optional(allowed.error());
}

bool exchange(const fs::path& a, const fs::path& b) {
  return ::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0;
}

Result<void> remove_replaced(const fs::path& old, const fs::path& place) {
  QUANTLANE_TRY_VOID(sync_folder(place.parent_path()));
  std::error_code ignored;
  fs::remove_all(old, ignored);
  return {};
}

// What was moved away and must stay; where its name is taken by now, beside it.
Result<void> put_back(const fs::path& old, const fs::path& place) {
  QUANTLANE_TRY(const bool moved, move_to_vacant(old, place));
  if (!moved) QUANTLANE_TRY_VOID(move_beside(old, place));
  return {};
}

// Where names cannot be exchanged.
Result<std::optional<Error>> put_in_two_steps(const fs::path& from, const fs::path& to,
                                              const ReplaceCheck& may_replace) {
  const fs::path old = temporary_name(to);
  std::error_code code;
  fs::rename(to, old, code);
  if (code) return fail(system_error("replacing an output", to, code.value()));
  if (auto refused = refusal(may_replace, old)) {
    QUANTLANE_TRY_VOID(put_back(old, to));
    return refused;
  }
  QUANTLANE_TRY(const bool moved, move_to_vacant(from, to));
  QUANTLANE_TRY_VOID(remove_replaced(old, to));
  if (moved) return std::nullopt;
  return put_in_place(from, to, may_replace);
}

}  // namespace

Result<void> keep_others(const fs::path& found) {
  return fail(invalid("choosing an output")
                  .in(found.string())
                  .expects("that nothing is there, as when the work began")
                  .got("an entry that was made meanwhile: it stays as it is"));
}

Result<std::optional<Error>> put_in_place(const fs::path& from, const fs::path& to,
                                          const ReplaceCheck& may_replace) {
  QUANTLANE_TRY(const bool vacant, move_to_vacant(from, to));
  if (vacant) {
    QUANTLANE_TRY_VOID(sync_folder(to.parent_path()));
    return std::nullopt;
  }
  if (auto refused = refusal(may_replace, to)) return refused;
  if (exchange(from, to)) {
    // `from` names what was there now.
    auto refused = refusal(may_replace, from);
    if (!refused) {
      QUANTLANE_TRY_VOID(remove_replaced(from, to));
      return std::nullopt;
    }
    exchange(from, to);  // where even that fails, the caller keeps what is at `from`
    return refused;
  }
  if (errno == ENOENT && !is_taken(to)) return put_in_place(from, to, may_replace);
  return put_in_two_steps(from, to, may_replace);
}

Result<std::optional<Error>> remove_allowed(const fs::path& path, const ReplaceCheck& may_replace) {
  if (!is_taken(path)) return std::nullopt;
  if (auto refused = refusal(may_replace, path)) return refused;
  const fs::path old = temporary_name(path);
  std::error_code code;
  fs::rename(path, old, code);
  if (code) return fail(system_error("replacing an output", path, code.value()));
  if (auto refused = refusal(may_replace, old)) {
    QUANTLANE_TRY_VOID(put_back(old, path));
    return refused;
  }
  fs::remove_all(old, code);
  return std::nullopt;
}

}  // namespace quantlane
