#include "api/comparison.h"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <utility>

#include "api/existing_lane.h"
#include "api/json_lists.h"
#include "api/lane_facts_of.h"
#include "api/plain_output.h"
#include "calibrate/collect.h"
#include "core/check.h"
#include "core/cpu.h"
#include "core/file.h"
#include "core/hash.h"
#include "core/output_path.h"
#include "core/placing.h"
#include "quantize/gguf/size_target.h"
#include "quantize/output_place.h"
#include "quantize/pipeline.h"
#include "quantize/transforms/apply_transforms.h"
#include "quantlane/report.h"
#include "quantlane/version.h"

namespace quantlane {
namespace {

constexpr std::int64_t kDefaultChunks = 40;
constexpr std::int64_t kDefaultContext = 4096;
constexpr std::string_view kPageStart =
    "<!doctype html>\n<html lang=\"en\" data-generator=\"quantlane\">";

std::string utc_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

fs::path artefact_path(const fs::path& out, const Lane& lane) {
  const fs::path base = out / "artifacts" / file_name_of(lane.name);
  return lane.is_gguf() ? fs::path(base.string() + ".gguf") : base;
}

Json summary_to_json(const QuantizeSummary& summary) {
  return Json::object({{"format", summary.format},
                       {"seconds", summary.seconds},
                       {"notices", json_of(summary.notices)}});
}

bool is_same_place(const fs::path& a, const fs::path& b) {
  std::error_code none;
  return fs::equivalent(a, b, none);
}

// Artefacts may be spelled in several ways, and be those that a lane of this comparison makes.
bool is_same_artefact(const LaneWork& a, const LaneWork& b) {
  if (a.existing == nullptr && b.existing == nullptr) return false;
  if (a.existing == nullptr) return is_same_artefact(b, a);
  const fs::path file = a.existing->container().files().front();
  if (b.existing == nullptr) {
    return is_same_place(file, b.report.artifact) ||
           is_same_place(a.existing->folder(), b.report.artifact);
  }
  // Folders may share weights by links and say other things of them.
  return is_same_place(file, b.existing->container().files().front()) &&
         (a.existing->container().kind() == "gguf" ||
          is_same_place(a.existing->folder(), b.existing->folder()));
}

Result<void> check_once(const LaneWork& lane, const std::vector<LaneWork>& others) {
  for (const LaneWork& other : others) {
    const bool same_name = lane.report.name == other.report.name;
    if (!same_name && !is_same_artefact(lane, other)) continue;
    Error error = usage_error("choosing lanes").expects("every lane and every artefact once");
    if (same_name) return fail(std::move(error).got(lane.report.name + " twice"));
    const bool both = lane.existing != nullptr && other.existing != nullptr;
    const LaneWork& made = lane.existing == nullptr ? lane : other;
    const LaneWork& found = lane.existing == nullptr ? other : lane;
    error.found = found.report.name +
                  " twice: " + (both ? "it is " : "it is where this comparison keeps the lane ") +
                  made.report.name;
    error.hint = both ? "leave one of them out" : "leave one of them out, or give another --out";
    return fail(std::move(error));
  }
  return {};
}

void apply_summary(const Json& json, LaneReport& report) {
  report.format = json["format"].string();
  report.quantize_seconds = json["seconds"].number();
  for (const Json& notice : json["notices"].items()) report.notices.emplace_back(notice.string());
}

}  // namespace

Comparison::Comparison(const CompareOptions& options, Progress& progress)
    : options_(options),
      progress_(progress),
      pool_(options.threads),
      store_(options.out / "work", options.fresh) {}

Result<CompareReport> Comparison::run() {
  QUANTLANE_TRY_VOID(check_request());
  QUANTLANE_TRY_VOID(store_.lock());
  QUANTLANE_TRY_VOID(open());
  QUANTLANE_TRY_VOID(ask_engines());
  QUANTLANE_TRY_VOID(prepare_texts());
  QUANTLANE_TRY_VOID(plan_memory());
  QUANTLANE_TRY(reference_hash_, reference_->content_hash());
  QUANTLANE_TRY_VOID(read_imatrix());
  QUANTLANE_TRY_VOID(store_.claim({"artifacts", "report.json", "report.html"}));
  QUANTLANE_TRY_VOID(store_.lock());  // a folder that was not there before
  replaces_report_ = is_taken(options_.out / "report.json");
  QUANTLANE_TRY_VOID(calibrate());
  QUANTLANE_TRY_VOID(measure_activation_shift());
  for (LaneWork& work : lanes_) QUANTLANE_TRY_VOID(quantize(work));
  QUANTLANE_TRY_VOID(evaluate());
  QUANTLANE_TRY_VOID(measure_noise_floor());
  QUANTLANE_TRY_VOID(measure_kv());
  QUANTLANE_TRY_VOID(run_task_sets());
  QUANTLANE_TRY_VOID(measure_errors());
  QUANTLANE_TRY_VOID(measure_speed());
  QUANTLANE_TRY_VOID(judge());
  QUANTLANE_TRY_VOID(write());
  return std::move(report_);
}

Result<void> Comparison::open() {
  fs::path path = options_.checkpoint;
  if (path.empty()) {
    QUANTLANE_TRY(path, canary_folder());
  }
  QUANTLANE_TRY(reference_, Checkpoint::open(path));
  if (reference_->quantization() != nullptr) {
    return fail(
        unsupported("comparing")
            .in(path.string())
            .expects("an unquantized reference")
            .got("a quantized checkpoint")
            .advise("give the original checkpoint; quantlane eval scores single artefacts"));
  }
  QUANTLANE_TRY_VOID(merge_adapter());
  QUANTLANE_TRY_VOID(check_context(*reference_, options_.chunk, "choosing the chunks to score"));
  const std::int64_t longest = reference_->graph()->config.context_length;
  context_ = options_.context > 0 ? options_.context : kDefaultContext;
  if (longest > 0 && options_.context > longest) {
    return fail(usage_error("choosing the context of the workload")
                    .in(path.string())
                    .expects("at most " + std::to_string(longest) + " tokens, what the model reads")
                    .got(std::to_string(options_.context)));
  }
  if (longest > 0) context_ = std::min(context_, longest);
  const auto names = options_.lanes.empty() ? default_lanes() : options_.lanes;
  for (const std::string& name : names) {
    QUANTLANE_TRY(LaneWork work, lane_named(name));
    QUANTLANE_TRY_VOID(check_once(work, lanes_));
    lanes_.push_back(std::move(work));
  }
  QUANTLANE_TRY_VOID(check_artefacts());
  // Before the hash, which reads every byte: a model that does not fit is refused at once.
  if (options_.memory_limit == "available") {
    if (const auto fits = Runtime::load(reference_); !fits) return std::unexpected(fits.error());
  }
  report_.tool_version = version();
  report_.created = utc_now();
  report_.command = options_.command;
  report_.machine = {.cpu = cpu_info().model,
                     .cores = cpu_info().cores,
                     .threads = pool_.size(),
                     .isa = std::string(isa_name(active_isa())),
                     .memory_bytes = cpu_info().memory_bytes};
  report_.reference.path = path;
  report_.reference.architecture = reference_->architecture()->name;
  report_.reference.parameters = reference_->parameter_count();
  report_.reference.size_bytes = reference_->size_bytes();
  report_.reference.bits_per_weight = stored_bits_per_weight(*reference_);
  return {};
}

Result<LaneWork> Comparison::lane_named(const std::string& name) const {
  LaneWork work;
  auto known = find_lane(name);
  // A folder called like a lane is not meant: artefacts are often named after theirs.
  if (!known && names_artefact(name)) {
    QUANTLANE_TRY(ExistingLane found, existing_lane(name, *reference_));
    QUANTLANE_TRY_VOID(check_adapted(*found.checkpoint));
    work.lane = std::move(found.lane);
    work.existing = std::move(found.checkpoint);
    work.report.format = std::move(found.format);
    work.report.artifact = work.existing->path();
  } else {
    QUANTLANE_TRY(work.lane, std::move(known));
    work.report.artifact = artefact_path(options_.out, work.lane);
  }
  work.report.name = work.existing ? name : work.lane.name;
  work.report.algorithm = work.lane.algorithm;
  work.report.dialect = work.lane.dialect_name();
  work.report.engines = work.lane.engines;
  work.memory.sample_bytes = sample_budget();
  return work;
}

Result<void> Comparison::prepare_texts() {
  QUANTLANE_TRY(const NamedText text, evaluation_text(options_.text));
  QUANTLANE_TRY(calibration_, calibration_text(options_.calibration_text));
  text_hash_ = make_key({text.text});
  if (text.text == calibration_.text) {
    return fail(invalid("preparing texts")
                    .in(calibration_.name)
                    .expects("a calibration text that is not the evaluation text")
                    .advise("give another --calibration-text"));
  }
  const std::int64_t limit = options_.chunks > 0 ? options_.chunks : kDefaultChunks;
  QUANTLANE_TRY(chunks_,
                make_chunks(*reference_, text.text, text.name, options_.chunk, limit, "--chunk"));
  report_.text = text.name;
  report_.chunk = options_.chunk;
  const fs::path own_tasks = reference_->folder() / "tasks";
  std::error_code code;
  if (options_.workload) {
    QUANTLANE_TRY(task_sets_, read_task_sets(*options_.workload, options_.task_items));
  } else if (fs::is_directory(own_tasks, code)) {
    QUANTLANE_TRY(task_sets_, read_task_sets(own_tasks, options_.task_items));
  }
  return {};
}

Result<void> Comparison::read_imatrix() {
  if (!options_.imatrix) return {};
  QUANTLANE_TRY(imatrix_, importances_from_file(*options_.imatrix, *reference_));
  for (const std::string& notice : imatrix_->notices) progress_.notice(notice);
  QUANTLANE_TRY(const std::string bytes, read_text(*options_.imatrix));
  imatrix_key_ = make_key({bytes, imatrix_->origin.file});
  return {};
}

Result<void> Comparison::calibrate() {
  if (imatrix_ && std::ranges::all_of(
                      lanes_, [this](const LaneWork& work) { return takes_imatrix(work.lane); })) {
    report_.calibration = imatrix_->origin.file;
    report_.calibration_tokens = imatrix_->tokens;
    return {};
  }
  calibration_key_ =
      make_key({reference_hash_, calibration_.text, std::to_string(kCalibrationChunks), version()});
  report_.calibration = calibration_.name;
  QUANTLANE_TRY(const TokenChunks chunks,
                calibration_chunks(*reference_, calibration_, kCalibrationChunks));
  report_.calibration_tokens = static_cast<std::int64_t>(chunks.tokens.size());
  const fs::path file = store_.path("calibration.safetensors");
  if (store_.find("calibration", calibration_key_)) {
    if (auto loaded = Statistics::load(file)) {
      importances_ =
          importances_from_pass(std::move(*loaded), *reference_, calibration_.name, chunks.count());
      return {};
    }
  }
  QUANTLANE_TRY(const auto runtime, load(reference_));
  QUANTLANE_TRY(Statistics statistics, collect_statistics(*runtime, chunks, pool_, progress_));
  statistics.come_from({.model = reference_hash_,
                        .texts = {calibration_.name},
                        .chunk_size = chunks.chunk,
                        .experts = reference_->graph()->config.experts.count});
  QUANTLANE_TRY_VOID(statistics.save(file));
  importances_ =
      importances_from_pass(std::move(statistics), *reference_, calibration_.name, chunks.count());
  return store_.put("calibration", calibration_key_,
                    Json::object({{"tokens", report_.calibration_tokens}}));
}

bool Comparison::takes_imatrix(const Lane& lane) const {
  return imatrix_ && lane.is_gguf() && !turns_inputs(lane);
}

const Importances& Comparison::importances_of(const Lane& lane) const {
  return takes_imatrix(lane) ? *imatrix_ : *importances_;
}

Result<QuantizeSummary> Comparison::write_artefact(const LaneWork& work,
                                                   const Importances& importances) {
  const auto job_of = [&](const Checkpoint& source, const Statistics& statistics) {
    return QuantizeJob{.source = source,
                       .lane = work.lane,
                       .statistics = &statistics,
                       .out = work.report.artifact,
                       .origin = importances.origin};
  };
  if (work.lane.transforms.empty() && !wants_pass(work.lane) && !work.lane.size.any()) {
    return run_quantize(job_of(*reference_, importances.statistics), pool_, progress_);
  }
  QUANTLANE_TRY(TokenChunks chunks,
                calibration_chunks(*reference_, calibration_, kCalibrationChunks));
  QUANTLANE_TRY(TransformedModel model,
                apply_transforms(job_of(*reference_, importances.statistics), reference_, chunks,
                                 work.memory.sample_bytes, pool_, progress_));
  QuantizeJob job = job_of(*model.checkpoint, model.statistics);
  if (work.lane.size.any()) {
    QUANTLANE_TRY(job.request, request_for_size(job, model.checkpoint, chunks, pool_, progress_));
  }
  std::optional<FeedbackSource> feedback;
  if (wants_feedback(work.lane)) {
    feedback.emplace(model.checkpoint, std::move(chunks), pool_, beside_feedback(work.lane),
                     work.memory.walk);
    job.feedback = &*feedback;
    job.coverage_told = wants_statistics(work.lane);
  }
  QUANTLANE_TRY(QuantizeSummary summary, run_quantize(job, pool_, progress_));
  for (std::string& notice : model.notices) {
    progress_.notice(work.lane.name + ": " + notice);
    summary.notices.push_back(std::move(notice));
  }
  return summary;
}

Result<void> Comparison::adopt(LaneWork& work) {
  work.checkpoint = work.existing;
  QUANTLANE_TRY(work.artefact_hash, work.checkpoint->content_hash());
  describe_artefact(work);
  work.existing.reset();
  return {};
}

void Comparison::describe_artefact(LaneWork& work) const {
  work.report.size_bytes = work.checkpoint->size_bytes();
  work.report.bits_per_weight = stored_bits_per_weight(*work.checkpoint);
  work.facts = lane_facts_of(work.lane, *work.checkpoint);
  work.facts.loads = work.loads;
  work.facts.served = work.served;
}

Result<void> Comparison::quantize(LaneWork& work) {
  if (work.existing != nullptr) return adopt(work);
  const Importances& importances = importances_of(work.lane);
  const bool from_file = !importances.origin.file.empty();
  work.key = make_key({reference_hash_, work.lane.name, work.lane.summary,
                       from_file ? imatrix_key_ : calibration_key_,
                       wants_pass(work.lane) ? calibration_.text : "", version()});
  const std::string record_name = "artifact-" + file_name_of(work.lane.name);
  std::optional<Json> record = store_.find(record_name, work.key);
  if (record) {
    // The record alone proves nothing: the bytes must still be the ones that were written.
    if (auto opened = Checkpoint::open(work.report.artifact)) {
      QUANTLANE_TRY(const std::string hash, (*opened)->content_hash());
      if (hash == (*record)["hash"].string()) work.checkpoint = std::move(*opened);
    }
  }
  if (work.checkpoint == nullptr) {
    QUANTLANE_TRY_VOID(check_output(work.report.artifact, true));
    QUANTLANE_TRY(const QuantizeSummary summary, write_artefact(work, importances));
    QUANTLANE_TRY(work.checkpoint, Checkpoint::open(work.report.artifact));
    QUANTLANE_TRY(const std::string hash, work.checkpoint->content_hash());
    record = summary_to_json(summary);
    record->set("hash", hash);
    QUANTLANE_TRY_VOID(store_.put(record_name, work.key, *record));
  } else {
    work.report.reused = true;
    remove_leftovers(work.report.artifact);
  }
  apply_summary(*record, work.report);
  if (wants_statistics(work.lane)) {
    if (from_file) work.report.notices.push_back("importances from " + importances.origin.file);
    for (const std::string& notice : importances.notices) work.report.notices.push_back(notice);
  }
  work.artefact_hash = (*record)["hash"].string();
  describe_artefact(work);
  return {};
}

std::string Comparison::evaluation_key(const std::string& artefact_hash) const {
  return make_key(
      {reference_hash_, artefact_hash, text_hash_, std::to_string(options_.chunk), version()});
}

Result<void> Comparison::write() {
  QUANTLANE_TRY_VOID(write_text(options_.out / "report.json", to_json(report_) + "\n",
                                replaceable(replaces_report_, "{")));
  return write_html(report_, options_.out / "report.html");
}

Result<CompareReport> compare(const CompareOptions& asked, Progress& progress) {
  const CompareOptions options = with_plain_output(asked);
  Comparison comparison(options, progress);
  return comparison.run();
}

Result<void> write_html(const CompareReport& report, const fs::path& path) {
  const bool replaces = is_taken(path);
  QUANTLANE_TRY_VOID(check_replaceable(path, kPageStart));
  return write_text(path, to_html(report), replaceable(replaces, std::string(kPageStart)));
}

}  // namespace quantlane
