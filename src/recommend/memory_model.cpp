#include "recommend/memory_model.h"

#include <algorithm>
#include <cmath>

namespace quantlane {
namespace {

struct Overhead {
  double fixed;         // bytes: runtime, workspaces, captured graphs
  double of_weights;    // share: activations grow with the model
  double usable_share;  // of the device's memory
};

// Assumptions, chosen so that the sum stays a floor: a CUDA context with captured graphs takes
// about 1 GB; unified memory keeps a quarter, main memory a tenth for the system.
Overhead overhead_of(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::kUnified:
      return {.fixed = 0.5e9, .of_weights = 0.02, .usable_share = 0.75};
    case DeviceKind::kCpu:
      return {.fixed = 0.1e9, .of_weights = 0.02, .usable_share = 0.9};
    case DeviceKind::kGpu:
      break;
  }
  return {.fixed = 1e9, .of_weights = 0.02, .usable_share = 1};
}

}  // namespace

MemoryNeed memory_need(const ModelFacts& model, const LaneFacts& lane, const Device& device,
                       const Workload& workload) {
  const Overhead overhead = overhead_of(device.kind);
  MemoryNeed need;
  need.weights = lane.weight_bytes;
  need.kv = model.kv_bytes_per_token * static_cast<double>(workload.context()) *
            static_cast<double>(workload.concurrency);
  need.overhead = overhead.fixed + overhead.of_weights * lane.weight_bytes;
  need.usable = overhead.usable_share * device.memory_bytes;
  return need;
}

std::int64_t most_concurrency(const ModelFacts& model, const LaneFacts& lane, const Device& device,
                              const Workload& workload) {
  constexpr double kMost = 1e6;
  Workload one = workload;
  one.concurrency = 1;
  const MemoryNeed need = memory_need(model, lane, device, one);
  if (!need.fits()) return 0;
  if (need.kv <= 0) return static_cast<std::int64_t>(kMost);
  const double room = need.usable - need.weights - need.overhead;
  return static_cast<std::int64_t>(std::min(kMost, std::floor(room / need.kv)));
}

}  // namespace quantlane
