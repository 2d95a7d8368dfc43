// Pre-flight of what is about to be written: the same rules as for files, before any byte.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "quantize/pipeline.h"
#include "quantlane/preflight.h"
#include "recommend/preflight.h"

namespace quantlane {

// kUsage for an unknown engine or device, a rank count below 1, or a version that is none. `gpu`
// empty: no device.
Result<EngineTarget> engine_target(const std::string& engine, const std::string& gpu,
                                   std::int64_t tensor_parallel, const std::string& version);

// The engines that `lane` is made for, as targets on `gpu`: those that its row names, or where that
// says "any" (plain folders) all that load folders by rules of their own.
Result<std::vector<EngineTarget>> targets_of_lane(const Lane& lane, const std::string& gpu,
                                                  std::int64_t tensor_parallel);

// Facts of a plan; of a GGUF plan only that it is one.
Result<ArtefactFacts> planned_facts(const ArtefactPlan& plan);
// The planned artefact against one engine. GGUF plans have no configuration to ask: an empty
// answer ("loads") where the engine reads GGUF.
Result<PreflightAnswer> preflight_plan(const ArtefactPlan& plan, const EngineTarget& target);

// "vllm (4 ranks, h100-sxm): will not load: …", one line for each finding of at least `least`.
std::vector<std::string> preflight_notices(const PreflightAnswer& answer, PreflightEffect least);

// Of a lane that cannot be planned, since its dialect does not hold the shapes of the checkpoint:
// what the engine would say of such Linears; nullopt when no rule objects, or nothing can be asked.
std::optional<Error> refusal_of_lane(const Checkpoint& checkpoint, const Lane& lane,
                                     const EngineTarget& target);

// kInfeasible that names rule, cause, advice and source of the worst finding.
Error preflight_error(const std::string& attempted, const PreflightAnswer& answer);

}  // namespace quantlane
