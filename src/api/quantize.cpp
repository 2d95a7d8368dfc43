#include "quantlane/quantize.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <optional>
#include <system_error>
#include <utility>

#include "api/adapted.h"
#include "api/calibration_request.h"
#include "api/defaults.h"
#include "api/disk_plan.h"
#include "api/importances.h"
#include "api/kv_request.h"
#include "api/memory_plan.h"
#include "api/plain_output.h"
#include "api/preflight.h"
#include "api/quantize_job.h"
#include "api/quantize_request.h"
#include "calibrate/collect.h"
#include "calibrate/kept_statistics.h"
#include "core/check.h"
#include "quantize/gguf/size_target.h"
#include "quantize/pipeline.h"
#include "quantize/transforms/apply_transforms.h"
#include "quantize/transforms/transform.h"

namespace quantlane {
namespace {

// What a job calibrates on, read and cut once; empty where it reads no text.
struct Calibration {
  NamedText text = {};
  TokenChunks chunks = {};
};

Result<Importances> calibrate(const QuantizeOptions& options,
                              const std::shared_ptr<const Checkpoint>& checkpoint,
                              const Calibration& calibration, KeptStatistics* kept,
                              ThreadPool& pool, Progress& progress) {
  if (options.imatrix) return importances_from_file(*options.imatrix, *checkpoint);
  if (options.statistics) return importances_from_statistics(*options.statistics, *checkpoint);
  QUANTLANE_TRY(const auto runtime, Runtime::load_by_layers(checkpoint));
  QUANTLANE_TRY(Statistics statistics, collect_statistics(*runtime, calibration.chunks, pool,
                                                          progress, HeadRows::kLastQuarter, kept));
  return importances_from_pass(std::move(statistics), *checkpoint, calibration.text.name,
                               calibration.chunks.count());
}

// The lane, the checkpoint and what the options ask for: everything that can be checked before any
// weight is read.
struct Prepared {
  Lane lane;
  std::shared_ptr<const Checkpoint> checkpoint;
  RecipeRequest request;
  SplitRequest split;
  bool calibrates = false;
  KvRounding kv;  // the scheme; scales come with the calibration

  [[nodiscard]] QuantizeJob job(const QuantizeOptions& options, const ImportanceOrigin& origin,
                                const Statistics* statistics) const {
    return {.source = *checkpoint,
            .lane = lane,
            .statistics = statistics,
            .out = options.out,
            .arch_agnostic = options.arch_agnostic,
            .request = request,
            .split = split,
            .origin = origin,
            .kv = kv.any() ? &kv : nullptr,
            .drops_kv = options.kv == "none",
            .force_unweighted = options.force_unweighted,
            .allow_requantize = options.allow_requantize,
            .replace = options.force};
  }
};

std::vector<InputPath> other_inputs(const QuantizeOptions& options) {
  return {{.name = "--calibration-text", .path = options.calibration_text.value_or("")},
          {.name = "--statistics", .path = options.statistics.value_or("")},
          {.name = "--imatrix", .path = options.imatrix.value_or("")},
          {.name = "--adapter", .path = options.adapter.value_or("")}};
}

Result<Prepared> prepare(const QuantizeOptions& options, bool writes, Progress& progress) {
  Prepared prepared;
  QUANTLANE_TRY(prepared.lane, find_lane(options.lane));
  QUANTLANE_TRY(prepared.lane.overrides, scheme_overrides(options.gguf, prepared.lane));
  if (!options.kv.empty()) {
    QUANTLANE_TRY(prepared.kv.scheme, find_kv_scheme_or_none(options.kv));
  }
  QUANTLANE_TRY_VOID(check_calibration(options, prepared.lane, prepared.kv.scheme));
  QUANTLANE_TRY(prepared.request, recipe_request(options.gguf, prepared.lane));
  QUANTLANE_TRY(prepared.lane.size, size_target(options.gguf, prepared.lane));
  // The name of the lane only says what the file is called by; importances are needed in any case.
  const Algorithm* algorithm = algorithm_by_name(prepared.lane.algorithm);
  if (prepared.lane.size.any() && !(algorithm != nullptr && algorithm->wants_statistics)) {
    prepared.lane.algorithm = "weighted";
  }
  if (prepared.lane.size.any() && options.data_free) {
    return fail(usage_error("choosing types for a size")
                    .expects("a calibration pass, which measures what each matrix may lose")
                    .got("--data-free")
                    .advise("leave --data-free out"));
  }
  QUANTLANE_TRY(prepared.split, split_request(options.gguf.split, prepared.lane));
  QUANTLANE_TRY(prepared.checkpoint, options.arch_agnostic
                                         ? Checkpoint::open_any(options.checkpoint)
                                         : Checkpoint::open(options.checkpoint));
  if (writes) {
    QUANTLANE_TRY_VOID(check_files(options.out, prepared.split, *prepared.checkpoint,
                                   other_inputs(options), options.force));
  }
  if (options.adapter) {
    QUANTLANE_TRY(prepared.checkpoint, adapted_source(options, prepared.checkpoint, progress));
  }
  prepared.calibrates = wants_statistics(prepared.lane) && !options.data_free &&
                        prepared.checkpoint->graph() != nullptr;
  prepared.request.importance = prepared.calibrates;
  QUANTLANE_TRY_VOID(check_calibration_files(options));
  return prepared;
}

// What its name hides; what the engine of the options, or those that the lane names, would say.
Result<std::vector<std::string>> warnings_of(const QuantizeOptions& options, const Lane& lane,
                                             const ArtefactPlan& plan) {
  std::vector<std::string> notices = lane.notes;
  if (!options.engine.empty()) {
    QUANTLANE_TRY(const EngineTarget target,
                  engine_target(options.engine, options.gpu, options.tensor_parallel,
                                options.engine_version));
    QUANTLANE_TRY(const PreflightAnswer answer, preflight_plan(plan, target));
    if (!answer.usable()) return fail(preflight_error("quantizing to " + lane.name, answer));
    std::ranges::move(preflight_notices(answer, PreflightEffect::kNote),
                      std::back_inserter(notices));
    return notices;
  }
  QUANTLANE_TRY(const auto targets, targets_of_lane(lane, options.gpu, options.tensor_parallel));
  for (const EngineTarget& target : targets) {
    QUANTLANE_TRY(const PreflightAnswer answer, preflight_plan(plan, target));
    std::ranges::move(preflight_notices(answer, PreflightEffect::kWrong),
                      std::back_inserter(notices));
  }
  return notices;
}

// The plan; where the lane does not fit the shapes and an engine is named, the rule that it breaks.
Result<ArtefactPlan> plan_for_engine(const QuantizeOptions& options, const Prepared& prepared,
                                     const QuantizeJob& job) {
  auto plan = plan_quantize(job);
  if (plan || plan.error().code != ErrorCode::kUnsupported || options.engine.empty()) return plan;
  QUANTLANE_TRY(
      const EngineTarget target,
      engine_target(options.engine, options.gpu, options.tensor_parallel, options.engine_version));
  auto refusal = refusal_of_lane(*prepared.checkpoint, prepared.lane, target);
  if (refusal) return fail(std::move(*refusal));
  return plan;
}

// The types that a size needs, for a plan: what quantizing would find.
Result<RecipeRequest> measured_request(const QuantizeOptions& options, const Prepared& prepared,
                                       const Calibration& calibration, ThreadPool& pool,
                                       Progress& progress) {
  QUANTLANE_TRY(const Importances importances,
                calibrate(options, prepared.checkpoint, calibration, nullptr, pool, progress));
  return request_for_size(prepared.job(options, importances.origin, &importances.statistics),
                          prepared.checkpoint, calibration.chunks, pool, progress);
}

// Does a pass over the calibration text come before error feedback?
bool runs_passes(const QuantizeOptions& options, const Prepared& prepared) {
  const bool given = options.imatrix || options.statistics;
  const bool transforms = std::ranges::any_of(
      prepared.lane.transforms,
      [](const std::string& name) { return transform_by_name(name)->wants_pass; });
  return (prepared.calibrates && !given) || transforms || calibrates_kv(prepared.kv.scheme) ||
         prepared.lane.size.any();
}

bool reads_text(const QuantizeOptions& options, const Prepared& prepared) {
  return runs_passes(options, prepared) || wants_feedback(prepared.lane);
}

// A text beside statistics that nothing would read.
Result<void> check_text(const QuantizeOptions& options, const Prepared& prepared) {
  const bool given = options.statistics || options.imatrix;
  if (!given || !options.calibration_text || reads_text(options, prepared)) return {};
  const std::string file = options.statistics ? "--statistics" : "--imatrix";
  return fail(usage_error("quantizing to " + prepared.lane.name)
                  .in(options.calibration_text->string())
                  .expects("one of " + file + " and --calibration-text")
                  .got("both, and the lane reads no text beside " + file)
                  .advise("leave one out"));
}

Result<Calibration> read_calibration(const QuantizeOptions& options, const Prepared& prepared) {
  QUANTLANE_TRY_VOID(check_text(options, prepared));
  Calibration calibration;
  if (!reads_text(options, prepared) || prepared.checkpoint->graph() == nullptr) return calibration;
  QUANTLANE_TRY(calibration.text, calibration_text(options.calibration_text));
  QUANTLANE_TRY_VOID(
      check_calibration_tokenizer(*prepared.checkpoint, prepared.lane, prepared.kv.scheme));
  QUANTLANE_TRY(calibration.chunks, calibration_chunks(*prepared.checkpoint, calibration.text,
                                                       options.calibration_chunks));
  return calibration;
}

// Before any work.
Result<MemoryPlan> memory_plan(const QuantizeOptions& options, const Prepared& prepared,
                               const Calibration& calibration, int threads) {
  std::error_code none;  // rehearsals have no output
  return plan_memory({.job = "quantizing to " + prepared.lane.name,
                      .limit = options.memory_limit,
                      .folder = std::filesystem::absolute(options.out, none).parent_path(),
                      .threads = threads,
                      .passes = runs_passes(options, prepared)},
                     *prepared.checkpoint, prepared.lane, calibration.chunks);
}

}  // namespace

Result<QuantizePlan> plan_quantization(const QuantizeOptions& asked, Progress& progress) {
  const QuantizeOptions options = with_plain_output(asked);
  QUANTLANE_TRY(Prepared prepared, prepare(options, false, no_progress()));
  ThreadPool pool(options.threads);
  Calibration calibration;
  if (prepared.lane.size.any()) {
    QUANTLANE_TRY(calibration, read_calibration(options, prepared));
    QUANTLANE_TRY(prepared.request,
                  measured_request(options, prepared, calibration, pool, progress));
  }
  QUANTLANE_TRY(ArtefactPlan artefact,
                plan_for_engine(options, prepared, prepared.job(options, {}, nullptr)));
  QUANTLANE_TRY(const auto warnings, warnings_of(options, prepared.lane, artefact));
  if (!prepared.lane.size.any()) {
    QUANTLANE_TRY(calibration, read_calibration(options, prepared));
  }
  QUANTLANE_TRY(const MemoryPlan memory, memory_plan(options, prepared, calibration, pool.size()));
  QuantizePlan plan;
  plan.lane = prepared.lane.name;
  plan.source_bytes = prepared.checkpoint->size_bytes();
  plan.files = artefact.files;
  plan.notices = std::move(artefact.notices);
  plan.notices.insert(plan.notices.end(), warnings.begin(), warnings.end());
  if (!memory.notice.empty()) plan.notices.push_back(memory.notice);
  for (PlannedTensor& tensor : artefact.tensors) {
    plan.size_bytes += tensor.size_bytes();
    plan.tensors.push_back({.name = std::move(tensor.name),
                            .type = std::string(tensor.type.name()),
                            .shape = tensor.shape,
                            .size_bytes = tensor.size_bytes()});
  }
  plan.bits_per_weight =
      8.0 * static_cast<double>(plan.size_bytes) / static_cast<double>(artefact.values);
  return plan;
}

namespace {

// The importances of the lane, from where the options say; with transforms the checkpoint becomes
// the transformed one, whose own they are.
Result<Importances> importances_and_transforms(const QuantizeOptions& options, Prepared& prepared,
                                               const Calibration& calibration,
                                               const MemoryPlan& memory, KeptStatistics& kept,
                                               ThreadPool& pool, Progress& progress) {
  Importances importances;
  const bool transforms = !prepared.lane.transforms.empty();
  const bool given = options.imatrix || options.statistics;
  if (prepared.calibrates && (given || !transforms)) {
    QUANTLANE_TRY(importances,
                  calibrate(options, prepared.checkpoint, calibration, &kept, pool, progress));
  } else if (options.imatrix) {
    importances.notices = {prepared.lane.name +
                           " does not weigh errors: the importance matrix is not used"};
  } else if (options.statistics) {
    const bool passes = transforms || wants_feedback(prepared.lane);
    importances.notices = {prepared.lane.name +
                           (passes ? " learns from its own pass over the calibration text"
                                   : " takes its numbers from the weights alone") +
                           ": the statistics are not used"};
  }
  if (!transforms) return importances;
  const Statistics* statistics = prepared.calibrates && given ? &importances.statistics : nullptr;
  QUANTLANE_TRY(TransformedModel model,
                apply_transforms(prepared.job(options, {}, statistics), prepared.checkpoint,
                                 calibration.chunks, memory.sample_bytes, pool, progress));
  prepared.checkpoint = std::move(model.checkpoint);
  if (given) {
    importances.statistics = std::move(model.statistics);
  } else if (!model.statistics.modules().empty()) {
    importances = importances_from_pass(std::move(model.statistics), *prepared.checkpoint,
                                        calibration.text.name, calibration.chunks.count());
  }
  std::ranges::move(model.notices, std::back_inserter(importances.notices));
  return importances;
}

}  // namespace

Result<QuantizeResult> quantize_checkpoint(const QuantizeOptions& asked, Progress& progress) {
  const QuantizeOptions options = with_plain_output(asked);
  const auto begun = std::chrono::steady_clock::now();
  ThreadPool pool(options.threads);
  QUANTLANE_TRY(Prepared prepared, prepare(options, true, progress));
  // Requests that do not fit the model fail before the calibration pass.
  QUANTLANE_TRY(const ArtefactPlan plan,
                plan_for_engine(options, prepared, prepared.job(options, {}, nullptr)));
  QUANTLANE_TRY(const auto warnings, warnings_of(options, prepared.lane, plan));
  for (const std::string& warning : warnings) progress.notice(prepared.lane.name + ": " + warning);
  QUANTLANE_TRY(Calibration calibration, read_calibration(options, prepared));
  QUANTLANE_TRY(MemoryPlan memory, memory_plan(options, prepared, calibration, pool.size()));
  QUANTLANE_TRY_VOID(reserve_disk(prepared.job(options, {}, nullptr), plan, memory));
  if (!memory.notice.empty()) progress.notice(prepared.lane.name + ": " + memory.notice);
  const auto start = std::chrono::steady_clock::now();
  KeptStatistics kept(options.out, prepared.checkpoint, calibration.chunks, HeadRows::kLastQuarter,
                      progress);
  QUANTLANE_TRY(Importances importances, importances_and_transforms(options, prepared, calibration,
                                                                    memory, kept, pool, progress));
  for (const std::string& notice : importances.notices) progress.notice(notice);
  if (prepared.kv.any()) {
    QUANTLANE_TRY(const auto runtime, Runtime::load_by_layers(prepared.checkpoint));
    QUANTLANE_TRY(prepared.kv,
                  calibrated_kv(*runtime, *prepared.kv.scheme, calibration.text, pool, progress));
  }
  QuantizeJob job = prepared.job(options, importances.origin,
                                 prepared.calibrates ? &importances.statistics : nullptr);
  const bool feeds_back = wants_feedback(prepared.lane) && prepared.checkpoint->graph() != nullptr;
  if (prepared.lane.size.any()) {
    QUANTLANE_TRY(job.request,
                  request_for_size(job, prepared.checkpoint, calibration.chunks, pool, progress));
  }
  const double calibration_seconds = seconds_since(start);
  std::optional<FeedbackSource> feedback;
  if (feeds_back) {
    feedback.emplace(prepared.checkpoint, std::move(calibration.chunks), pool,
                     beside_feedback(prepared.lane), memory.walk);
    job.feedback = &*feedback;
    job.coverage_told = !importances.statistics.modules().empty();
  }
  QUANTLANE_TRY(QuantizeResult result, run_job(job, pool, progress));
  kept.remove();
  if (importances.experts) result.experts = importances.experts;
  if (importances.idle_columns.any()) result.idle_columns = importances.idle_columns;
  const bool calibrated = prepared.calibrates || wants_pass(prepared.lane);
  result.calibration_seconds = calibrated ? calibration_seconds : 0;
  result.notices.insert(result.notices.begin(), importances.notices.begin(),
                        importances.notices.end());
  result.notices.insert(result.notices.end(), warnings.begin(), warnings.end());
  result.total_seconds = seconds_since(begun);
  return result;
}

}  // namespace quantlane
