// A GGUF artefact of a given size: types for its matrices that lose least.
#pragma once
#include <memory>

#include "calibrate/dataset.h"
#include "core/threads.h"
#include "quantize/pipeline.h"
#include "quantlane/progress.h"

namespace quantlane {

// job.request with a type for every matrix, so that the file meets job.lane.size. `checkpoint` owns
// job.source and is run on `chunks`. kInfeasible where even the smallest types are too large.
Result<RecipeRequest> request_for_size(const QuantizeJob& job,
                                       const std::shared_ptr<const Checkpoint>& checkpoint,
                                       const TokenChunks& chunks, ThreadPool& pool,
                                       Progress& progress);

}  // namespace quantlane
