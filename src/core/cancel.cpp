#include "core/cancel.h"

#include <atomic>
#include <string>

namespace quantlane {
namespace {
std::atomic<bool> cancelled{false};
static_assert(std::atomic<bool>::is_always_lock_free);
}  // namespace

void request_cancel() noexcept { cancelled.store(true, std::memory_order_relaxed); }
bool cancel_requested() noexcept { return cancelled.load(std::memory_order_relaxed); }

Result<void> check_cancel(const char* during) {
  if (!cancel_requested()) return {};
  return fail(make_error(ErrorCode::kCancelled, std::string("interrupted while ") + during)
                  .advise("run the same command again: comparisons, and quantizing with error "
                          "feedback, go on where they stopped"));
}

}  // namespace quantlane
