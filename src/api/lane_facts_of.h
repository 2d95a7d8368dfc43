// What the recommendation has to know of checkpoints and lanes.
#pragma once
#include "model/checkpoint.h"
#include "quantize/lane.h"
#include "recommend/lane_facts.h"

namespace quantlane {

ModelFacts model_facts_of(const Checkpoint& reference);
LaneFacts lane_facts_of(const Lane& lane, const Checkpoint& artefact);
LaneFacts reference_facts_of(const Checkpoint& reference);

}  // namespace quantlane
