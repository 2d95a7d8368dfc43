#include "quantize/transforms/scale_search.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "core/cancel.h"
#include "core/check.h"
#include "quantize/transforms/scale_problem.h"

namespace quantlane {
namespace {

constexpr int kCoarseSteps = 10;  // of the ratio from 0 to 1
constexpr int kRefinements = 2;   // halvings of the step around the best

// The least error found so far.
struct Best {
  std::vector<float> factors;
  double error = 0;
  const ScaleFamily* family = nullptr;
  double ratio = 0;
};

struct Candidate {
  const ScaleFamily* family;
  double ratio;
};

// Tries all candidates, side by side; of equals the first one wins.
Result<void> try_all(const ScaleProblem& problem, std::span<const Candidate> candidates,
                     ThreadPool& pool, Best& best) {
  std::vector<std::vector<float>> factors(candidates.size());
  std::vector<std::optional<Result<double>>> errors(candidates.size());
  pool.parallel_for(static_cast<std::int64_t>(candidates.size()), [&](std::int64_t index, int) {
    const auto at = static_cast<std::size_t>(index);
    std::vector<double> wanted(problem.size());
    for (std::size_t i = 0; i < wanted.size(); ++i) {
      wanted[i] = candidates[at].family->factor(problem.facts(), i, candidates[at].ratio);
    }
    factors[at] = problem.storable(wanted);
    errors[at] = problem.error(factors[at]);
  });
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    QUANTLANE_TRY(const double error, std::move(*errors[i]));
    if (!(error < best.error)) continue;
    best = {std::move(factors[i]), error, candidates[i].family, candidates[i].ratio};
  }
  return {};
}

Result<Best> search(const ScaleProblem& problem, std::span<const ScaleFamily> families,
                    ThreadPool& pool) {
  Best best{.factors = std::vector<float>(problem.size(), 1.0F)};
  QUANTLANE_TRY(best.error, problem.error(best.factors));
  std::vector<Candidate> candidates;
  for (const ScaleFamily& family : families) {
    for (int step = 0; step <= kCoarseSteps; ++step)
      candidates.push_back({&family, static_cast<double>(step) / kCoarseSteps});
  }
  QUANTLANE_TRY_VOID(try_all(problem, candidates, pool, best));
  double width = 1.0 / kCoarseSteps;
  for (int i = 0; i < kRefinements && best.family != nullptr; ++i) {
    width /= 2;
    candidates.clear();
    for (const double ratio : {best.ratio - width, best.ratio + width}) {
      if (ratio >= 0 && ratio <= 1) candidates.push_back({best.family, ratio});
    }
    QUANTLANE_TRY_VOID(try_all(problem, candidates, pool, best));
  }
  return best;
}

}  // namespace

Result<Transformed> search_scales(const TransformRequest& request,
                                  std::span<const ScaleFamily> families) {
  const Graph& graph = *request.source->graph();
  const std::int64_t layers = graph.config.layer_count;
  QUANTLANE_TRY(const auto runtime, Runtime::load_by_layers(request.source));
  Transformed result;
  std::int64_t last = 0;
  for (std::int64_t first = 0; first < layers; first = last) {
    std::uint64_t bytes = 0;
    while (last < layers &&
           (last == first || bytes + sample_bytes(graph, last) <= request.memory_budget)) {
      bytes += sample_bytes(graph, last++);
    }
    QUANTLANE_TRY(const ModelSamples samples,
                  collect_samples(*runtime, request.chunks, first, last, request.pool,
                                  request.progress, first == 0 ? &result.statistics : nullptr));
    request.progress.begin("search scales", static_cast<std::uint64_t>(last - first), "layers");
    for (std::int64_t layer = first; layer < last; ++layer) {
      for (const ScalableInput& input : scalable_inputs(graph, layer)) {
        QUANTLANE_TRY_VOID(check_cancel("searching scales"));
        QUANTLANE_TRY(const ScaleProblem problem, ScaleProblem::make(request, input, samples));
        if (!problem.rounds()) continue;
        QUANTLANE_TRY(const Best best, search(problem, families, request.pool));
        if (best.family != nullptr) add_scaling(input, best.factors, result.edits);
      }
      request.progress.update(static_cast<std::uint64_t>(layer - first + 1));
    }
    request.progress.end();
  }
  return result;
}

}  // namespace quantlane
