// Changes of a model before it is rounded that leave its function as it is and make rounding
// cheaper. One file pair and one row in transforms() each; a lane names them before its algorithm:
// "w4a16+awq+gptq".
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "calibrate/dataset.h"
#include "calibrate/statistics.h"
#include "core/threads.h"
#include "model/checkpoint.h"
#include "quantize/algorithms/algorithm.h"
#include "quantize/pipeline.h"
#include "quantlane/progress.h"
#include "quantlane/result.h"

namespace quantlane {

struct TransformRequest {
  std::shared_ptr<const Checkpoint> source;
  const TokenChunks& chunks;  // to calibrate on; may be empty where wants_pass is false
  // What the lane makes of each matrix, by parameter name, and how its numbers are chosen.
  const std::map<std::string, MatrixTarget>& targets;
  const Algorithm& algorithm;
  std::uint64_t memory_budget;  // bytes for what is kept of activations at one time
  ThreadPool& pool;
  Progress& progress;
};

struct Transformed {
  WeightEdits edits;                      // of request.source
  Statistics statistics;                  // of the inputs of its Linears, before the edits
  std::vector<std::string> notices = {};  // what was left out, and why
};

struct Transform {
  std::string_view name;
  std::string_view summary;  // one line of help
  bool wants_pass;           // find() runs the model over the text, and gives its statistics
  // Inputs of the edited model are sums of the former ones: their statistics must be collected.
  bool turns_inputs;
  Result<Transformed> (*find)(const TransformRequest& request);
};

std::span<const Transform* const> transforms();
const Transform* transform_by_name(std::string_view name);

// The statistics of a model whose columns are scaled by `edits`: what a reader's columns are
// multiplied by, its inputs are divided by. Counts of magnitudes, which do not say in which column
// they were, are lost.
Statistics scaled_statistics(const Statistics& statistics, const WeightEdits& edits);

}  // namespace quantlane
