#include "calibrate/expert_coverage.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "calibrate/layer_name.h"

namespace quantlane {
namespace {

constexpr std::size_t kShown = 4;  // layers, and experts of each

// "layer 3: 5, 17, …; layer 9: 2; …" of the experts whose tokens `wanted` takes, and how many.
template <class Wanted>
std::pair<std::int64_t, std::string> name_experts(const ExpertTokens& layers,
                                                  const Wanted& wanted) {
  std::int64_t found = 0;
  std::size_t named = 0;
  std::string text;
  for (const auto& [layer, tokens] : layers) {
    std::vector<std::size_t> experts;
    for (std::size_t e = 0; e < tokens.size(); ++e) {
      if (wanted(tokens[e])) experts.push_back(e);
    }
    found += static_cast<std::int64_t>(experts.size());
    if (experts.empty() || ++named > kShown + 1) continue;
    if (named > 1) text += "; ";
    if (named > kShown) {
      text += "…";
      continue;
    }
    text += fmt::format("layer {}: ", layer);
    for (std::size_t i = 0; i < std::min(kShown, experts.size()); ++i) {
      text += (i == 0 ? "" : ", ") + std::to_string(experts[i]);
    }
    if (experts.size() > kShown) text += ", …";
  }
  return {found, text};
}

}  // namespace

// Gate, up and down of a layer have the same counts: one of them stands for all.
ExpertTokens expert_tokens(const Imatrix& imatrix) {
  ExpertTokens layers;
  for (const auto& [name, entry] : imatrix.entries) {
    const auto place = layer_in(name);
    if (place && entry.counts.size() > 1) layers.try_emplace(place->layer, entry.counts);
  }
  return layers;
}

std::optional<ExpertCoverage> expert_coverage(const ExpertTokens& layers) {
  std::vector<std::int64_t> tokens;
  for (const auto& [layer, counts] : layers)
    tokens.insert(tokens.end(), counts.begin(), counts.end());
  if (tokens.empty()) return std::nullopt;
  std::ranges::sort(tokens);
  const auto unseen = std::ranges::count(tokens, 0);
  const auto few =
      std::ranges::count_if(tokens, [](std::int64_t count) { return count < kEnoughTokens; });
  return ExpertCoverage{.experts = static_cast<std::int64_t>(tokens.size()),
                        .unseen = unseen,
                        .scarce = few - unseen,
                        .enough = kEnoughTokens,
                        .fewest_tokens = tokens.front(),
                        .median_tokens = tokens[tokens.size() / 2],
                        .most_tokens = tokens.back()};
}

std::vector<std::string> expert_notices(const ExpertTokens& layers) {
  std::size_t experts = 0;
  for (const auto& [layer, tokens] : layers) experts += tokens.size();
  std::vector<std::string> notices;
  const auto [unseen, where] = name_experts(layers, [](std::int64_t n) { return n == 0; });
  if (unseen > 0) {
    notices.push_back(fmt::format("{} of {} experts saw no token ({})", unseen, experts, where));
  }
  const auto [scarce, there] =
      name_experts(layers, [](std::int64_t n) { return n > 0 && n < kEnoughTokens; });
  if (scarce > 0) {
    notices.push_back(fmt::format("{} of {} experts saw fewer than {} tokens ({})", scarce, experts,
                                  kEnoughTokens, there));
  }
  return notices;
}

namespace {

// The experts of a layer in one role.
using Siblings = std::vector<const Parameter*>;

std::vector<Siblings> siblings_of(const Graph& graph) {
  std::map<std::pair<std::int64_t, Role>, Siblings> found;
  for (const Parameter& p : graph.parameters) {
    if (p.expert >= 0) found[{p.layer, p.role}].push_back(&p);
  }
  std::vector<Siblings> siblings;
  for (auto& [place, parameters] : found) siblings.push_back(std::move(parameters));
  return siblings;
}

// What all experts saw together.
InputStatistics pooled(const Statistics& statistics, const Siblings& siblings) {
  InputStatistics sum;
  for (const Parameter* p : siblings) {
    const auto found = statistics.modules().find(p->module());
    if (found == statistics.modules().end()) continue;
    const InputStatistics& own = found->second;
    sum.sum_squares.resize(own.sum_squares.size());
    sum.absmax.resize(own.absmax.size());
    for (std::size_t c = 0; c < own.sum_squares.size(); ++c)
      sum.sum_squares[c] += own.sum_squares[c];
    for (std::size_t c = 0; c < own.absmax.size(); ++c) {
      sum.absmax[c] = std::max(sum.absmax[c], own.absmax[c]);
    }
    sum.tokens += own.tokens;
  }
  return sum;
}

InputStatistics filled_up(InputStatistics own, const InputStatistics& pool, std::int64_t tokens) {
  own.sum_squares.resize(pool.sum_squares.size());
  const double share = static_cast<double>(tokens - own.tokens) / static_cast<double>(pool.tokens);
  for (std::size_t c = 0; c < pool.sum_squares.size(); ++c) {
    own.sum_squares[c] += share * pool.sum_squares[c];
  }
  own.absmax = pool.absmax;
  own.tokens = tokens;
  return own;
}

}  // namespace

std::string complete_experts(Statistics& statistics, const Graph& graph, bool tokens_known) {
  std::set<std::pair<std::int64_t, std::int64_t>> completed;  // layer, expert
  for (const Siblings& siblings : siblings_of(graph)) {
    const InputStatistics pool = pooled(statistics, siblings);
    if (pool.tokens == 0) continue;
    for (const Parameter* p : siblings) {
      const auto found = statistics.modules().find(p->module());
      const bool seen = found != statistics.modules().end() && found->second.tokens > 0;
      InputStatistics own = seen ? found->second : InputStatistics{};
      if (own.tokens >= kEnoughTokens || (seen && !tokens_known)) continue;
      completed.emplace(p->layer, p->expert);
      statistics.set(std::string(p->module()), filled_up(std::move(own), pool, kEnoughTokens));
    }
  }
  if (completed.empty()) return {};
  return fmt::format(
      "{} experts that saw {}: their statistics are filled up with the mean of the other experts "
      "of their layer",
      completed.size(),
      tokens_known ? fmt::format("fewer than {} tokens", kEnoughTokens) : "no token");
}

}  // namespace quantlane
