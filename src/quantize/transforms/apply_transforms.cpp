#include "quantize/transforms/apply_transforms.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "calibrate/collect.h"
#include "core/check.h"
#include "quantize/algorithms/weighted.h"
#include "quantize/lanes/lane_needs.h"
#include "quantize/transforms/transform.h"

namespace quantlane {

Result<TransformedModel> apply_transforms(const QuantizeJob& job,
                                          std::shared_ptr<const Checkpoint> source,
                                          const TokenChunks& chunks, std::uint64_t memory_budget,
                                          ThreadPool& pool, Progress& progress) {
  QUANTLANE_TRY(const ArtefactPlan plan, plan_quantize(job));
  const Algorithm* algorithm = algorithm_by_name(job.lane.algorithm);
  // Searches try many factors: error feedback is for the last rounding only.
  if (algorithm == nullptr || algorithm->wants_feedback) algorithm = &kWeighted;
  TransformedModel model{.checkpoint = std::move(source), .statistics = {}};
  bool known = job.statistics != nullptr;
  if (known) model.statistics = *job.statistics;
  for (const std::string& name : job.lane.transforms) {
    const Transform* transform = transform_by_name(name);
    QUANTLANE_CHECK(transform != nullptr);
    QUANTLANE_TRY(Transformed found, transform->find({.source = model.checkpoint,
                                                      .chunks = chunks,
                                                      .targets = plan.matrices,
                                                      .algorithm = *algorithm,
                                                      .memory_budget = memory_budget,
                                                      .pool = pool,
                                                      .progress = progress}));
    if (!known) model.statistics = std::move(found.statistics);
    known = !transform->turns_inputs && (known || transform->wants_pass);
    model.statistics = known ? scaled_statistics(model.statistics, found.edits) : Statistics();
    std::ranges::move(found.notices, std::back_inserter(model.notices));
    QUANTLANE_TRY(model.checkpoint, model.checkpoint->with_edits(std::move(found.edits)));
  }
  // Scales of inputs are chosen by the magnitudes that the transformed model has.
  const bool collects = wants_input_scales(job.lane) || (wants_statistics(job.lane) && !known);
  if (!job.lane.transforms.empty() && collects && chunks.count() > 0) {
    QUANTLANE_TRY(const auto runtime, Runtime::load_by_layers(model.checkpoint));
    QUANTLANE_TRY(model.statistics, collect_statistics(*runtime, chunks, pool, progress));
  }
  return model;
}

}  // namespace quantlane
