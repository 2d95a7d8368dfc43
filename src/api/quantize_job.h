// What quantize and convert do alike.
#pragma once
#include <chrono>

#include "core/threads.h"
#include "quantize/pipeline.h"
#include "quantlane/progress.h"
#include "quantlane/quantize.h"
#include "quantlane/result.h"

namespace quantlane {

// Writes the artefact; where it is of a quantized source, its weights are compared with that.
Result<QuantizeResult> run_job(const QuantizeJob& job, ThreadPool& pool, Progress& progress);

double seconds_since(std::chrono::steady_clock::time_point start);

}  // namespace quantlane
