#include "recommend/lane_facts.h"

#include <algorithm>
#include <utility>

namespace quantlane {

std::string_view path_name(ComputePath path) {
  switch (path) {
    case ComputePath::kBf16:
      return "bf16";
    case ComputePath::kFp8:
      return "fp8";
    case ComputePath::kInt8:
      return "int8";
    case ComputePath::kFp4:
      return "fp4";
    case ComputePath::kWeightOnly:
      return "weight_only";
    case ComputePath::kGguf:
      break;
  }
  return "gguf";
}

Workload workload_of(std::int64_t context, std::int64_t concurrency) {
  Workload workload;
  const std::int64_t tokens = std::max<std::int64_t>(2, context);
  workload.output_tokens = std::max<std::int64_t>(1, tokens / 4);
  workload.prompt_tokens = tokens - workload.output_tokens;
  workload.concurrency = std::max<std::int64_t>(1, concurrency);
  return workload;
}

LaneFacts estimate_lane(std::string name, ComputePath path, const ModelFacts& model, double bits,
                        double head_bits) {
  LaneFacts lane;
  lane.name = std::move(name);
  lane.path = path;
  lane.weight_bits = bits;
  const double blocks = model.block_parameters * bits / 8;
  lane.weight_bytes = blocks + (model.parameters - model.block_parameters) * head_bits / 8;
  lane.read_bytes = blocks + model.head_parameters * head_bits / 8;
  return lane;
}

}  // namespace quantlane
