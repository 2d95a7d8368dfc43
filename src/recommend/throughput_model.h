// Speed of a lane on a device from peaks and bandwidth: a roofline with a constant per layer,
// fitted to published measurements (docs/statistics.md has the error).
#pragma once
#include <string>

#include "quantlane/compare.h"
#include "recommend/hardware.h"
#include "recommend/lane_facts.h"
#include "recommend/memory_model.h"

namespace quantlane {

// Seconds, for `concurrency` requests in flight.
struct StepTimes {
  double launch = 0;   // c x layers
  double weights = 0;  // reading (and dequantizing) them, or multiplying, whichever is longer
  double kv = 0;       // reading keys and values of every request at half its output
  bool compute_bound = false;
  [[nodiscard]] double step() const { return launch + weights + kv; }  // one token per request
};

// Both are 0 bytes or operations free: a device without a kernel for the path gives infinity.
StepTimes decode_step(const ModelFacts& model, const LaneFacts& lane, const Device& device,
                      const Workload& workload);
// Prefill of all prompts of the workload, seconds.
double prefill_seconds(const ModelFacts& model, const LaneFacts& lane, const Device& device,
                       const Workload& workload);
// Prefill and all output tokens of all requests in flight, seconds: what the workload costs.
double workload_seconds(const ModelFacts& model, const LaneFacts& lane, const Device& device,
                        const Workload& workload);

// Tokens per second over all requests in flight, memory, and what binds the larger share of the
// time. `native` is false for memory-only paths and where there is no kernel (rates NaN).
Projection project(const ModelFacts& model, const LaneFacts& lane, const Device& device,
                   const Workload& workload);

}  // namespace quantlane
