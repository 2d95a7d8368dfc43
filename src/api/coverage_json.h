// Coverage of experts and channels in the JSON of several commands.
#pragma once
#include <optional>

#include "core/json.h"
#include "quantlane/coverage.h"

namespace quantlane {

// Null without experts.
Json coverage_json(const std::optional<ExpertCoverage>& coverage);
Json channels_json(const DeadChannels& channels);

}  // namespace quantlane
