// Asks running jobs to stop at the next safe point (nothing half-written, finished work kept).
#pragma once
namespace quantlane {
// Async-signal-safe; jobs then return ErrorCode::kCancelled.
void request_cancel() noexcept;
}  // namespace quantlane
