#include "calibrate/feedback_source.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "core/check.h"

namespace quantlane {

FeedbackSource::FeedbackSource(std::shared_ptr<const Checkpoint> checkpoint, TokenChunks chunks,
                               std::uint64_t memory_budget, ThreadPool& pool, Progress& progress)
    : checkpoint_(std::move(checkpoint)),
      chunks_(std::move(chunks)),
      budget_(memory_budget),
      pool_(pool),
      progress_(progress) {}

FeedbackSource::~FeedbackSource() = default;

Result<std::shared_ptr<const ErrorFeedback>> FeedbackSource::of(std::string_view module) {
  const auto& parameters = checkpoint_->graph()->parameters;
  const auto linear = std::ranges::find_if(parameters, [&](const Parameter& p) {
    return is_linear(p.role) && p.layer >= 0 && p.module() == module;
  });
  if (linear == parameters.end()) return nullptr;
  if (linear->layer < first_ || linear->layer >= last_) {
    QUANTLANE_TRY_VOID(load_group(linear->layer));
  }
  const auto found = group_.find(module);
  return found == group_.end() ? nullptr : found->second;
}

Result<void> FeedbackSource::load_group(std::int64_t first) {
  group_.clear();
  if (runtime_ == nullptr) {
    QUANTLANE_TRY(runtime_, Runtime::load(checkpoint_));
  }
  const Graph& graph = *checkpoint_->graph();
  std::int64_t last = first + 1;
  std::uint64_t bytes = hessian_bytes(graph, first);
  while (last < graph.config.layer_count && bytes + hessian_bytes(graph, last) <= budget_) {
    bytes += hessian_bytes(graph, last++);
  }
  QUANTLANE_TRY(Hessians hessians,
                collect_hessians(*runtime_, chunks_, first, last, pool_, progress_));
  // Each distinct matrix once; its place takes the factor.
  std::map<const Hessian*, std::size_t> index;
  std::vector<std::shared_ptr<const Hessian>> distinct;
  std::map<std::string, std::size_t, std::less<>> of_module;
  for (auto& [module, hessian] : hessians) {
    const auto [place, is_new] = index.emplace(hessian.get(), distinct.size());
    if (is_new) distinct.push_back(hessian);
    of_module[module] = place->second;
  }
  hessians.clear();
  std::vector<std::optional<Result<ErrorFeedback>>> factors(distinct.size());
  pool_.parallel_for(static_cast<std::int64_t>(distinct.size()), [&](std::int64_t i, int) {
    const auto at = static_cast<std::size_t>(i);
    factors[at] = make_error_feedback(*distinct[at]);
    distinct[at].reset();
  });
  std::vector<std::shared_ptr<const ErrorFeedback>> shared;
  for (auto& factor : factors) {
    if (!*factor) return std::unexpected(std::move(*factor).error());
    shared.push_back(std::make_shared<const ErrorFeedback>(std::move(**factor)));
  }
  for (const auto& [module, at] : of_module) group_[module] = shared[at];
  first_ = first;
  last_ = last;
  return {};
}

}  // namespace quantlane
