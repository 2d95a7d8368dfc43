#include "quantlane/quantize.h"

#include <chrono>

#include "api/defaults.h"
#include "calibrate/collect.h"
#include "core/check.h"
#include "core/cpu.h"
#include "core/json.h"
#include "quantize/output_place.h"
#include "quantize/pipeline.h"

namespace quantlane {
namespace {

constexpr std::int64_t kCalibrationChunk = 512;

Result<Statistics> calibrate(const QuantizeOptions& options,
                             const std::shared_ptr<const Checkpoint>& checkpoint, ThreadPool& pool,
                             Progress& progress) {
  if (options.statistics) return Statistics::load(*options.statistics);
  QUANTLANE_TRY(const NamedText text, calibration_text(options.calibration_text));
  QUANTLANE_TRY(const TokenChunks chunks,
                make_chunks(*checkpoint, text.text, text.name, kCalibrationChunk,
                            options.calibration_chunks));
  QUANTLANE_TRY(const auto runtime, Runtime::load(checkpoint));
  return collect_statistics(*runtime, chunks, pool, progress);
}

bool wants_statistics(const Lane& lane) {
  const Algorithm* algorithm = algorithm_by_name(lane.algorithm);
  return algorithm != nullptr && algorithm->wants_statistics;
}

Result<QuantizeResult> run_job(const QuantizeJob& job, ThreadPool& pool, Progress& progress) {
  QUANTLANE_TRY(const QuantizeSummary summary, run_quantize(job, pool, progress));
  QuantizeResult result;
  result.lane = job.lane.name;
  result.artifact = job.out;
  result.format = summary.format;
  result.size_bytes = summary.size_bytes;
  result.bits_per_weight = summary.bits_per_weight;
  result.seconds = summary.seconds;
  result.source_bytes = job.source.size_bytes();
  result.peak_rss_bytes = peak_rss_bytes();
  result.tensor_types = summary.tensor_types;
  result.notices = summary.notices;
  return result;
}

}  // namespace

Result<QuantizeResult> quantize_checkpoint(const QuantizeOptions& options, Progress& progress) {
  ThreadPool pool(options.threads);
  QUANTLANE_TRY(const Lane lane, find_lane(options.lane));
  QUANTLANE_TRY(const auto checkpoint, options.arch_agnostic
                                           ? Checkpoint::open_any(options.checkpoint)
                                           : Checkpoint::open(options.checkpoint));
  QUANTLANE_TRY_VOID(check_output(options.out, options.checkpoint, options.force));
  const auto start = std::chrono::steady_clock::now();
  Statistics statistics;
  const bool calibrated =
      wants_statistics(lane) && !options.data_free && checkpoint->graph() != nullptr;
  if (calibrated) {
    QUANTLANE_TRY(statistics, calibrate(options, checkpoint, pool, progress));
  }
  const double calibration_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  const QuantizeJob job{.source = *checkpoint,
                        .lane = lane,
                        .statistics = calibrated ? &statistics : nullptr,
                        .out = options.out,
                        .arch_agnostic = options.arch_agnostic};
  QUANTLANE_TRY(QuantizeResult result, run_job(job, pool, progress));
  result.calibration_seconds = calibrated ? calibration_seconds : 0;
  return result;
}

Result<QuantizeResult> convert_checkpoint(const ConvertOptions& options, Progress& progress) {
  ThreadPool pool(options.threads);
  const bool gguf = options.out.extension() == ".gguf";
  if (options.type != "f32" && options.type != "f16" && options.type != "bf16") {
    return fail(usage_error("converting")
                    .expects("--to f32, f16 or bf16")
                    .got(options.type)
                    .advise("to quantize, use quantlane quantize"));
  }
  QUANTLANE_TRY(const Lane lane, find_lane((gguf ? "gguf:" : "") + options.type));
  QUANTLANE_TRY(const auto checkpoint, Checkpoint::open(options.checkpoint));
  QUANTLANE_TRY_VOID(check_output(options.out, options.checkpoint, options.force));
  return run_job({.source = *checkpoint,
                  .lane = lane,
                  .statistics = nullptr,
                  .out = options.out,
                  .arch_agnostic = false},
                 pool, progress);
}

std::string to_json(const QuantizeResult& result) {
  Json types = Json(Json::Object{});
  for (const auto& [type, count] : result.tensor_types) types.set(type, count);
  Json notices = Json::array();
  for (const std::string& notice : result.notices) notices.push(notice);
  return Json::object({{"lane", result.lane},
                       {"artifact", result.artifact.string()},
                       {"format", result.format},
                       {"size_bytes", result.size_bytes},
                       {"source_bytes", result.source_bytes},
                       {"bits_per_weight", result.bits_per_weight},
                       {"seconds", result.seconds},
                       {"calibration_seconds", result.calibration_seconds},
                       {"peak_rss_bytes", result.peak_rss_bytes},
                       {"tensor_types", std::move(types)},
                       {"notices", std::move(notices)}})
      .dump(2);
}

std::vector<std::pair<std::string, std::string>> list_lanes() {
  std::vector<std::pair<std::string, std::string>> lanes;
  for (const std::string& name : lane_names()) {
    if (const auto lane = find_lane(name)) lanes.emplace_back(name, lane->summary);
  }
  return lanes;
}

}  // namespace quantlane
