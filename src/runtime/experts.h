// Mixture of experts: a router picks a few feed-forwards for every token.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/layer.h"

namespace quantlane {

struct ExpertPick {
  std::int64_t expert;
  float weight;
};
// The experts of one token by the router's `scores` [E]: softmax over all, the `config.per_token`
// most likely, of equals the first; weights that sum to 1 where the configuration says so. Written
// to `picks` [per_token], best first. Source: transformers modeling_mixtral.py,
// modeling_qwen3_moe.py.
void pick_experts(const ExpertConfig& config, std::span<const float> scores,
                  std::span<ExpertPick> picks);

// The experts of each token of pass.normed, `per_token` in turn.
std::vector<ExpertPick> route(const BoundLayer& layer, Pass& pass);

// pass.normed [tokens, D] becomes the weighted sum of what the experts of each token make of it.
// Each expert's products run once for all of its tokens; sums run in the order of experts.
void run_experts(const BoundLayer& layer, Pass& pass);

}  // namespace quantlane
