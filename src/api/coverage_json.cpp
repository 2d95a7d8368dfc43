#include "api/coverage_json.h"

namespace quantlane {

Json coverage_json(const std::optional<ExpertCoverage>& coverage) {
  if (!coverage) return {};
  return Json::object({{"experts", coverage->experts},
                       {"unseen", coverage->unseen},
                       {"scarce", coverage->scarce},
                       {"enough_tokens", coverage->enough},
                       {"fewest_tokens", coverage->fewest_tokens},
                       {"median_tokens", coverage->median_tokens},
                       {"most_tokens", coverage->most_tokens}});
}

Json channels_json(const DeadChannels& channels) {
  return Json::object({{"count", channels.count},
                       {"matrices", channels.matrices},
                       {"first", channels.any() ? Json(channels.first) : Json()}});
}

}  // namespace quantlane
