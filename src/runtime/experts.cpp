#include "runtime/experts.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "runtime/over_tokens.h"

namespace quantlane {
namespace {

// Which tokens each expert sees: those of expert e are at [begin[e], begin[e + 1]), ascending.
struct Groups {
  std::vector<std::int64_t> begin;
  std::vector<std::int64_t> token;
  std::vector<float> weight;
};

Groups group_by_expert(const std::vector<ExpertPick>& picks, std::int64_t per_token,
                       std::int64_t experts) {
  Groups groups;
  groups.begin.assign(static_cast<std::size_t>(experts) + 1, 0);
  for (const ExpertPick& pick : picks) ++groups.begin[static_cast<std::size_t>(pick.expert) + 1];
  std::partial_sum(groups.begin.begin(), groups.begin.end(), groups.begin.begin());
  groups.token.resize(picks.size());
  groups.weight.resize(picks.size());
  std::vector<std::int64_t> next = groups.begin;
  for (std::size_t i = 0; i < picks.size(); ++i) {
    const auto at = static_cast<std::size_t>(next[static_cast<std::size_t>(picks[i].expert)]++);
    groups.token[at] = static_cast<std::int64_t>(i) / per_token;
    groups.weight[at] = picks[i].weight;
  }
  return groups;
}

}  // namespace

void pick_experts(const ExpertConfig& config, std::span<const float> scores,
                  std::span<ExpertPick> picks) {
  std::vector<std::int64_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  const auto better = [&](std::int64_t a, std::int64_t b) {
    const float x = scores[static_cast<std::size_t>(a)];
    const float y = scores[static_cast<std::size_t>(b)];
    return x != y ? x > y : a < b;
  };
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(picks.size()),
                    order.end(), better);
  const float top = scores[static_cast<std::size_t>(order[0])];
  double all = 0;
  for (const float score : scores) all += std::exp(static_cast<double>(score - top));
  double picked = 0;
  for (std::size_t i = 0; i < picks.size(); ++i) {
    picked += std::exp(static_cast<double>(scores[static_cast<std::size_t>(order[i])] - top));
  }
  for (std::size_t i = 0; i < picks.size(); ++i) {
    const float score = scores[static_cast<std::size_t>(order[i])];
    const double share = std::exp(static_cast<double>(score - top));
    picks[i] = {.expert = order[i],
                .weight = static_cast<float>(share / (config.normalised ? picked : all))};
  }
}

std::vector<ExpertPick> route(const BoundLayer& layer, Pass& pass) {
  const ExpertConfig& config = pass.config->experts;
  const Product router[] = {{&layer.router, pass.scores.data()}};
  multiply(router, pass.normed.data(), pass.tokens, pass);
  std::vector<ExpertPick> picks(static_cast<std::size_t>(pass.tokens * config.per_token));
  over_tokens(pass.tokens, *pass.pool, [&](std::int64_t first, std::int64_t count) {
    for (std::int64_t t = first; t < first + count; ++t) {
      pick_experts(
          config, {pass.scores.data() + t * config.count, static_cast<std::size_t>(config.count)},
          {picks.data() + t * config.per_token, static_cast<std::size_t>(config.per_token)});
    }
  });
  return picks;
}

void run_experts(const BoundLayer& layer, Pass& pass) {
  const ExpertConfig& config = pass.config->experts;
  const std::int64_t width = pass.config->hidden_size;
  const Groups groups = group_by_expert(route(layer, pass), config.per_token, config.count);
  std::fill_n(pass.mixed.begin(), pass.tokens * width, 0.0F);
  for (std::size_t e = 0; e < layer.experts.size(); ++e) {
    const std::int64_t begin = groups.begin[e];
    const std::int64_t tokens = groups.begin[e + 1] - begin;
    if (tokens == 0) continue;
    const std::int64_t* token = groups.token.data() + begin;
    const float* weight = groups.weight.data() + begin;
    float* rows = pass.gathered.data();
    over_tokens(tokens, *pass.pool, [&](std::int64_t first, std::int64_t count) {
      for (std::int64_t i = first; i < first + count; ++i) {
        std::copy_n(pass.normed.data() + token[i] * width, width, rows + i * width);
      }
    });
    run_mlp(layer.experts[e], rows, tokens, rows, pass);
    over_tokens(tokens, *pass.pool, [&](std::int64_t first, std::int64_t count) {
      for (std::int64_t i = first; i < first + count; ++i) {
        float* sum = pass.mixed.data() + token[i] * width;
        for (std::int64_t c = 0; c < width; ++c) sum[c] += weight[i] * rows[i * width + c];
      }
    });
  }
  pass.normed.swap(pass.mixed);
}

}  // namespace quantlane
