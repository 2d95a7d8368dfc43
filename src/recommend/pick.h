// From a finished comparison to one lane: hard filters first, then the cheapest lane that may ship.
#pragma once
#include <vector>

#include "quantlane/compare.h"
#include "recommend/hardware.h"
#include "recommend/lane_facts.h"
#include "recommend/rules.h"

namespace quantlane {

struct PickInputs {
  // Device, model and workload; facts of every lane of the report and of the reference. The lanes
  // may be fewer or more than those of the report; only common ones can be picked.
  Situation situation;
  // The device is the machine of the report: costs come from its measured speeds (one request at
  // a time), not from the projection.
  bool measured_here = false;
};

// Filters: verdict "ship", memory, a kernel, no excluding rule. Of what remains (the unquantized
// reference takes part), lanes that a standing rule defers come last; then the least time for the
// workload wins, and within 3 % of it (25 % where times are measured) the least memory. Where times
// are measured, the reference is taken only when no lane may ship. Pick.lane is "reference" when no
// lane may ship or none is cheaper, empty when not even the reference fits the device. Reasons are
// never empty; flips_if says what would change the pick: concurrency, memory, margins, more
// samples.
Pick pick(const CompareReport& report, const PickInputs& inputs);

}  // namespace quantlane
