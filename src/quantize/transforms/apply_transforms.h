// The transforms that a lane names, one after another.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "calibrate/dataset.h"
#include "quantize/pipeline.h"

namespace quantlane {

struct TransformedModel {
  std::shared_ptr<const Checkpoint> checkpoint;  // with edits
  Statistics statistics;                         // of its Linears' inputs
  std::vector<std::string> notices = {};
};

// The model of `job` (`source` is job.source) under the transforms of job.lane. Statistics are
// job.statistics where given, else those of the first transform's pass, scaled as the model is.
// Where inputs were turned since, they are collected again, if the lane wants any and `chunks`,
// which only transforms with wants_pass need, are not empty.
// `memory_budget`: bytes for what is kept of activations at one time.
Result<TransformedModel> apply_transforms(const QuantizeJob& job,
                                          std::shared_ptr<const Checkpoint> source,
                                          const TokenChunks& chunks, std::uint64_t memory_budget,
                                          ThreadPool& pool, Progress& progress);

}  // namespace quantlane
