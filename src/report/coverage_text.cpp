#include <fmt/format.h>

#include "quantlane/coverage.h"

namespace quantlane {

std::string to_text(const ExpertCoverage& coverage) {
  return fmt::format(
      "{}, of which {} saw no token and {} fewer than {}; {} to {} tokens each, median {}",
      coverage.experts, coverage.unseen, coverage.scarce, coverage.enough, coverage.fewest_tokens,
      coverage.most_tokens, coverage.median_tokens);
}

}  // namespace quantlane
