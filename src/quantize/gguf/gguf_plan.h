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
    // Row after row; none: the rotary divisors, or the factors (transfer.h) of `factors_of`.
    std::vector<const Parameter*> parameters;
    PlannedTensor tensor;
    Transfer transfer = Transfer::kEncode;
    std::vector<const Parameter*> factors_of = {};
  };
  std::vector<Item> items;  // in file order
  std::vector<float> rope_divisors;
  Metadata metadata;                    // the tokenizer is among it
  std::vector<std::uint32_t> shard_of;  // file of each item; empty = one file that is no split
  std::vector<std::string> notices;     // fallbacks taken, splits that are none

  [[nodiscard]] std::size_t files() const { return shard_of.empty() ? 1 : shard_of.back() + 1U; }
  [[nodiscard]] std::vector<PlannedTensor> tensors() const;
};

// Names, shapes and types of all tensors of `job`. kInvalidArgument where the job's requests do
// not fit the model, or types need an importance matrix that is not there.
Result<GgufPlan> plan_gguf(const QuantizeJob& job);
ArtefactPlan artefact_of(const GgufPlan& plan);

}  // namespace quantlane
