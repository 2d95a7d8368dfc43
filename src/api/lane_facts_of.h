// What the recommendation has to know of checkpoints and lanes.
#pragma once
#include "model/checkpoint.h"
#include "quantize/lanes/lane.h"
#include "recommend/lane_facts.h"

namespace quantlane {

ModelFacts model_facts_of(const Checkpoint& reference);
// The arithmetic of a lane's products: that of its inputs where it rounds them.
ComputePath path_of(const Lane& lane);
LaneFacts lane_facts_of(const Lane& lane, const Checkpoint& artefact);
LaneFacts reference_facts_of(const Checkpoint& reference);

}  // namespace quantlane
