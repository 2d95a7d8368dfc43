// The scales of a calibrated key-value cache: the largest keys and values over a text.
#pragma once
#include "calibrate/dataset.h"
#include "core/threads.h"
#include "formats/kv_scheme.h"
#include "quantlane/progress.h"
#include "runtime/runtime.h"

namespace quantlane {

// Runs `runtime` over the chunks with a float cache and takes absmax / 448 of what it holds: keys
// after norm and rotation, as engines store them. Schemes without calibration need no text.
Result<KvRounding> calibrate_kv(Runtime& runtime, const TokenChunks& chunks, const KvScheme& scheme,
                                ThreadPool& pool, Progress& progress);

}  // namespace quantlane
