// The calibration pass: runs text through the reference and keeps the statistics of Linear inputs.
#pragma once
#include <cstdint>
#include <functional>
#include <string_view>

#include "calibrate/dataset.h"
#include "calibrate/statistics.h"
#include "core/threads.h"
#include "quantlane/progress.h"
#include "quantlane/result.h"
#include "runtime/runtime.h"

namespace quantlane {

// Of which rows the inputs of the head are looked at. Its product is the widest of all: rows cost.
enum class HeadRows : std::uint8_t { kNone, kLastQuarter, kAll };
// How many rows of `tokens` these are.
std::int64_t head_row_count(HeadRows rows, std::int64_t tokens);
class KeptStatistics;

// Where a pass begins, and who is told how many chunks are behind it.
struct PassPlace {
  std::int64_t first = 0;  // a chunk that an earlier run stopped before
  std::function<void(std::int64_t chunks)> passed = {};
};

// One pass over all chunks, shown to `observer`; `label` names it to `progress`.
Result<void> run_calibration_pass(Runtime& runtime, const TokenChunks& chunks,
                                  std::string_view label, HeadRows head_rows,
                                  LinearObserver& observer, ThreadPool& pool, Progress& progress,
                                  const PassPlace& place = {});

// kCorrupt where second moments are not finite.
Result<void> check_finite(const Statistics& statistics, const Checkpoint& checkpoint);

// The statistics of one pass. kCorrupt when activations are not finite (a broken checkpoint). With
// `kept` they lie on disk meanwhile, and the pass goes on from what an earlier one has left there:
// the same sums to the bit.
Result<Statistics> collect_statistics(Runtime& runtime, const TokenChunks& chunks, ThreadPool& pool,
                                      Progress& progress,
                                      HeadRows head_rows = HeadRows::kLastQuarter,
                                      KeptStatistics* kept = nullptr);

}  // namespace quantlane
