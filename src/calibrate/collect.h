// The calibration pass: runs text through the reference and keeps the statistics of Linear inputs.
#pragma once
#include <cstdint>

#include "calibrate/dataset.h"
#include "calibrate/statistics.h"
#include "core/threads.h"
#include "quantlane/progress.h"
#include "quantlane/result.h"
#include "runtime/runtime.h"

namespace quantlane {

// Of which rows the inputs of the head are looked at. Its product is the widest of all: rows cost.
enum class HeadRows : std::uint8_t { kNone, kLastQuarter, kAll };

// One pass over all chunks. kCorrupt when activations are not finite (a broken checkpoint).
Result<Statistics> collect_statistics(Runtime& runtime, const TokenChunks& chunks, ThreadPool& pool,
                                      Progress& progress,
                                      HeadRows head_rows = HeadRows::kLastQuarter);

}  // namespace quantlane
