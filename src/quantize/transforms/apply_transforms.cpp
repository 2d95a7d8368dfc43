#include "quantize/transforms/apply_transforms.h"

#include <utility>

#include "calibrate/collect.h"
#include "core/check.h"
#include "quantize/algorithms/weighted.h"
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
  if (job.statistics != nullptr) model.statistics = *job.statistics;
  bool first = job.statistics == nullptr;
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
    if (first) model.statistics = std::move(found.statistics);
    first = false;
    model.statistics = scaled_statistics(model.statistics, found.edits);
    QUANTLANE_TRY(model.checkpoint, model.checkpoint->with_edits(std::move(found.edits)));
  }
  const auto& input = job.lane.scheme.input;
  if (!job.lane.transforms.empty() && input && input->calibrated()) {
    // Scales of inputs are chosen by the magnitudes that the transformed model has.
    QUANTLANE_TRY(const auto runtime,
                  Runtime::load(model.checkpoint, Arithmetic::kFloat, 0, Residency::kLayers));
    QUANTLANE_TRY(model.statistics, collect_statistics(*runtime, chunks, pool, progress));
  }
  return model;
}

}  // namespace quantlane
