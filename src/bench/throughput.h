// Prefill and decode rates of a loaded checkpoint.
#pragma once
#include <cstdint>

#include "core/threads.h"
#include "quantlane/benchmark.h"
#include "quantlane/progress.h"
#include "quantlane/result.h"
#include "runtime/runtime.h"

namespace quantlane {

// Best of `repeats` runs on seeded random token ids. Memory is left to the caller.
Result<BenchResult> measure_throughput(Runtime& runtime, std::int64_t prefill, std::int64_t decode,
                                       int repeats, ThreadPool& pool, Progress& progress);

}  // namespace quantlane
