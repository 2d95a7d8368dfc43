// Experts that a text hardly reached: which they are, and what stands in for their statistics.
#pragma once
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "calibrate/imatrix.h"
#include "calibrate/statistics.h"
#include "model/graph.h"
#include "quantlane/coverage.h"

namespace quantlane {

// Below that many tokens an expert's mean squares are mostly noise: each has a standard error of
// more than 18 % (normal inputs).
inline constexpr std::int64_t kEnoughTokens = 64;

// By layer: how many tokens each of its experts saw.
using ExpertTokens = std::map<std::int64_t, std::vector<std::int64_t>>;
// By the counts of the first tensor of each layer that holds experts; empty where there is none, or
// the file does not say (.dat has no count for each).
ExpertTokens expert_tokens(const Imatrix& imatrix);

// nullopt without experts.
std::optional<ExpertCoverage> expert_coverage(const ExpertTokens& layers);
// "12 of 384 experts saw no token (layer 3: 5, 17; layer 9: 2), …"; empty where all saw enough.
std::vector<std::string> expert_notices(const ExpertTokens& layers);

// Fills experts of fewer than kEnoughTokens tokens up to that number with the mean of what the
// experts of their layer saw in the same place; `tokens_known` false: only those without any. What
// was done, in a line; empty where nothing was.
std::string complete_experts(Statistics& statistics, const Graph& graph, bool tokens_known);
}  // namespace quantlane
