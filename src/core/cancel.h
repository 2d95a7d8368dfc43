// Cooperative cancellation: a signal handler sets a flag, long loops look at it.
#pragma once
#include "quantlane/cancel.h"
#include "quantlane/result.h"

namespace quantlane {
[[nodiscard]] bool cancel_requested() noexcept;
// kCancelled when a cancel was requested; `during` names the job.
Result<void> check_cancel(const char* during);
}  // namespace quantlane
