// What a job needs of the disk, asked before any work.
#pragma once
#include "api/memory_plan.h"
#include "quantize/pipeline.h"
#include "quantlane/result.h"

namespace quantlane {

// Sets the file for hidden states aside where `memory` has one. kIo where the disk has too little
// room for that, for the artefact of `plan`, or for the matrices that a job with error feedback
// keeps until it is done; also where a file would exceed the limit of the process. What killed runs
// left of the artefact is removed.
Result<void> reserve_disk(const QuantizeJob& job, const ArtefactPlan& plan, MemoryPlan& memory);

}  // namespace quantlane
