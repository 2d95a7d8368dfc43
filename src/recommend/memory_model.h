// How much memory a lane needs to serve a workload on a device.
#pragma once
#include "recommend/hardware.h"
#include "recommend/lane_facts.h"

namespace quantlane {

// Bytes. A floor: an engine may reserve more, none needs less.
struct MemoryNeed {
  double weights = 0;
  double kv = 0;        // keys and values of `concurrency` contexts, 16 bit
  double overhead = 0;  // activations, graphs, runtime
  double usable = 0;    // of the device for all of it
  [[nodiscard]] double total() const { return weights + kv + overhead; }
  [[nodiscard]] bool fits() const { return total() <= usable; }
  [[nodiscard]] bool is_tight() const { return fits() && total() > 0.95 * usable; }
  [[nodiscard]] bool kv_dominates() const { return kv > weights; }
};

MemoryNeed memory_need(const ModelFacts& model, const LaneFacts& lane, const Device& device,
                       const Workload& workload);
// Most requests in flight that fit; 0 when not even one does.
std::int64_t most_concurrency(const ModelFacts& model, const LaneFacts& lane, const Device& device,
                              const Workload& workload);

}  // namespace quantlane
