// What each matrix of a GGUF artefact could be stored as, and what the model loses by it: measured,
// not guessed from the number of the layer.
//
// Near the original weights the KLD of the output grows with the square of what a matrix puts into
// the residual stream. So, for a few sequences of the calibration text:
//   per layer   all its matrices in a probe type: the change D of the stream behind the layer, and
//               the KLD L of the model's output with this layer alone changed; in deep models L / D
//               of some layers only (layer_losses.h)
//   per matrix  it alone in the probe type: the change d of the stream behind its layer; its share
//               of the loss is L d / D
//   per type    the importance-weighted squared error e of a sample of rows, against that of the
//               probe type: the loss is L d / D * e(type) / e(probe)
// The embedding and the head are probed by the output itself.
#pragma once
#include <cstdint>
#include <vector>

#include "calibrate/dataset.h"
#include "core/threads.h"
#include "quantize/gguf/allocate.h"
#include "quantize/gguf/gguf_plan.h"
#include "quantize/pipeline.h"
#include "quantlane/progress.h"
#include "runtime/runtime.h"

namespace quantlane {

struct MatrixOptions {
  std::size_t item = 0;                   // of the plan
  std::vector<const BlockFormat*> types;  // that fit its width
  std::vector<TypeOption> options;        // of these types
};

// For the items of `plan` that are block matrices now; no losses yet. Types that need importances
// are left out where there are none.
std::vector<MatrixOptions> list_type_options(const QuantizeJob& job, const GgufPlan& plan);

// `matrices` (list_type_options) with losses. `runtime` runs job.source.
Result<std::vector<MatrixOptions>> measure_type_options(
    const QuantizeJob& job, const GgufPlan& plan, std::vector<MatrixOptions> matrices,
    const Runtime& runtime, const TokenChunks& chunks, ThreadPool& pool, Progress& progress);

}  // namespace quantlane
