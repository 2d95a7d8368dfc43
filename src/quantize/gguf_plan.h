// What a GGUF artefact will hold, before any weight is read.
#pragma once
#include <string>
#include <vector>

#include "model/checkpoint.h"
#include "quantize/pipeline.h"
#include "quantlane/result.h"

namespace quantlane {

struct GgufPlan {
  struct Item {
    const Parameter* parameter;  // nullptr: the rotary divisors
    PlannedTensor tensor;
  };
  std::vector<Item> items;  // in file order
  std::vector<float> rope_divisors;
  std::vector<std::string> notices;  // fallbacks taken
};

// Names, shapes and types of all tensors of `job`. kInvalidArgument where the job's request does
// not fit the model, or types need an importance matrix that is not there.
Result<GgufPlan> plan_gguf(const QuantizeJob& job);

// The keys of the file; the tokenizer is among them.
Result<Metadata> gguf_metadata(const QuantizeJob& job);

}  // namespace quantlane
