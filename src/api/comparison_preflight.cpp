// The pre-flight stage of compare(): which lanes will load where they are to be served.
#include <algorithm>
#include <utility>

#include "api/comparison.h"
#include "api/preflight.h"
#include "core/check.h"

namespace quantlane {
namespace {

Result<std::vector<EngineTarget>> targets_of(const CompareOptions& options, const Lane& lane) {
  const std::string gpu = options.target == kThisMachine ? "" : options.target;
  if (options.engine.empty()) return targets_of_lane(lane, gpu, options.tensor_parallel);
  QUANTLANE_TRY(EngineTarget target, engine_target(options.engine, gpu, options.tensor_parallel,
                                                   options.engine_version));
  std::vector<EngineTarget> targets;
  targets.push_back(std::move(target));
  return targets;
}

Result<ArtefactFacts> facts_of(const LaneWork& work, const Checkpoint& reference) {
  if (work.existing != nullptr) return read_artefact_facts(work.existing->path(), true);
  QUANTLANE_TRY(const ArtefactPlan plan, plan_quantize({.source = reference, .lane = work.lane}));
  return planned_facts(plan);
}

}  // namespace

Result<void> Comparison::ask_engines() {
  bool any_loads = lanes_.empty();
  Error worst;
  for (LaneWork& work : lanes_) {
    QUANTLANE_TRY(const ArtefactFacts facts, facts_of(work, *reference_));
    QUANTLANE_TRY(const auto targets, targets_of(options_, work.lane));
    if (work.existing == nullptr) work.report.notices = work.lane.notes;
    work.served = !targets.empty();  // transformers is none that serves
    if (!work.served) {
      work.report.notices.emplace_back(
          "no serving engine is known to load it (transformers alone): none was asked");
    }
    bool refused = !targets.empty();
    for (const EngineTarget& target : targets) {
      const PreflightAnswer answer = preflight(facts, target);
      refused = refused && !answer.usable();
      if (!answer.usable()) worst = preflight_error("comparing lanes", answer);
      for (std::string& notice : preflight_notices(answer, PreflightEffect::kSlow)) {
        work.report.notices.push_back(std::move(notice));
      }
    }
    work.loads = !refused;
    any_loads = any_loads || work.loads;
  }
  // An engine that was asked for and loads none of the lanes: nothing to compare for.
  if (!any_loads && !options_.engine.empty()) return fail(std::move(worst));
  return {};
}

}  // namespace quantlane
