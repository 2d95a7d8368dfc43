#include "quantize/pipeline.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <new>
#include <utility>

#include "calibrate/expert_coverage.h"
#include "calibrate/idle_columns.h"
#include "core/check.h"
#include "core/cpu.h"
#include "core/file.h"
#include "core/hash.h"
#include "quantize/folder/folder_plan.h"
#include "quantize/folder/kv_tensors.h"
#include "quantize/folder/source_kv.h"
#include "quantize/gguf/gguf_plan.h"
#include "quantlane/version.h"

namespace quantlane {
namespace {

bool holds_blocks(const Checkpoint& source) {
  return std::ranges::any_of(source.container().tensors(),
                             [](const TensorInfo& tensor) { return tensor.type.block != nullptr; });
}

// Of models whose Linears are known by name alone nothing is decoded. The others: folder and GGUF
// plans ask matrix by matrix.
Result<void> check_unknown_model(const QuantizeJob& job) {
  if (job.source.graph() != nullptr) return {};
  if (job.source.weights_are_plain() && !holds_blocks(job.source)) return {};
  return fail(unsupported("quantizing to " + job.lane.name)
                  .in(job.source.path().string())
                  .expects("an unquantized checkpoint (bf16, f16 or f32)")
                  .got("one that is quantized already")
                  .advise("start from the original checkpoint"));
}

// A GGUF file, or the safetensors files of a folder.
std::uint64_t weight_bytes(const std::filesystem::path& artefact) {
  if (!std::filesystem::is_directory(artefact)) return size_on_disk(artefact);
  std::uint64_t total = 0;
  for (const auto& entry : std::filesystem::directory_iterator(artefact)) {
    if (entry.path().extension() == ".safetensors") total += size_on_disk(entry.path());
  }
  return total;
}

// Slices know their tensor, not the checkpoint: the error of a damaged one with the file that holds
// the tensor, and where its data begins.
Error located(Error error, const Checkpoint& source) {
  if (error.code != ErrorCode::kCorrupt || !error.file.empty()) return error;
  error.file = source.path().string();
  const Container& container = source.container();
  const TensorInfo* tensor = container.find(error.tensor);
  if (tensor == nullptr) tensor = container.find(error.tensor + ".weight");  // of a module
  if (tensor == nullptr) return error;
  std::string name = error.tensor;
  return at_tensor(std::move(error), container, *tensor).of(std::move(name));
}

Result<void> check_source(const QuantizeJob& job) {
  if (job.source.graph() == nullptr && job.source.config_json().is_null()) {
    return fail(unsupported("quantizing to " + job.lane.name)
                    .in(job.source.path().string())
                    .expects("a model with its config.json"));
  }
  QUANTLANE_TRY_VOID(check_unknown_model(job));
  if (job.source.graph() == nullptr && (job.lane.is_gguf() || !job.arch_agnostic)) {
    const std::string found(job.source.config_json()["architectures"].items().empty()
                                ? std::string_view("no architectures key")
                                : job.source.config_json()["architectures"].items()[0].string());
    return fail(unsupported("quantizing to " + job.lane.name)
                    .in(job.source.path().string())
                    .expects("one of the architectures " + supported_architectures())
                    .got(found)
                    .advise(job.lane.is_gguf()
                                ? "use a folder lane (fp8, w8a8, w4a16) with --arch-agnostic"
                                : "add --arch-agnostic to quantize every matrix by its name"));
  }
  return {};
}

Result<void> check_kv(const QuantizeJob& job) {
  if (job.kv == nullptr) return {};
  const Error refused = usage_error("writing the scheme of the key-value cache")
                            .advise(
                                "give --kv to quantlane eval or compare, and the flag to the "
                                "engine (docs/deploying.md)");
  const DialectWriter* writer = kv_writer(job.lane);
  if (writer == nullptr || job.source.graph() == nullptr) {
    return fail(Error(refused)
                    .expects("a folder lane of compressed-tensors or ModelOpt, or an unquantized "
                             "one, and a known architecture")
                    .got(writer == nullptr ? job.lane.name + ": files of " +
                                                 job.lane.dialect_name() + " have no place for it"
                                           : "an architecture that is not known"));
  }
  if (writer->cannot_hold_kv == nullptr) return {};
  const auto reason = writer->cannot_hold_kv(*job.kv->scheme);
  if (!reason) return {};
  return fail(Error(refused)
                  .expects("a scheme that " + job.lane.dialect_name() + " holds: " + *reason)
                  .got("\"" + std::string(job.kv->scheme->name) + "\""));
}

Result<void> check_output(const QuantizeJob& job) {
  if (job.lane.is_gguf() == (job.out.extension() == ".gguf")) return {};
  const bool gguf = job.lane.is_gguf();
  return fail(usage_error("quantizing to " + job.lane.name)
                  .in(job.out.string())
                  .expects(gguf ? "an output file that ends in .gguf" : "an output folder")
                  .advise(gguf ? "add .gguf to its name" : "name it without .gguf"));
}

std::string target_name(const MatrixTarget& target) {
  return target.block != nullptr ? std::string(target.block->name)
                                 : target.scheme->weight.spelling();
}

// What the files of a job will hold.
struct JobPlan {
  SourceKv cache;
  FolderPlan folder;  // of folder lanes
  GgufPlan gguf;      // of the others

  // The job with the scheme of the key-value cache that its source has.
  [[nodiscard]] QuantizeJob completed(QuantizeJob job) const {
    if (cache.kv.any()) job.kv = &cache.kv;
    return job;
  }
  [[nodiscard]] ArtefactPlan artefact(const QuantizeJob& job) const {
    return job.lane.is_gguf() ? artefact_of(gguf) : artefact_of(completed(job), folder);
  }
};

Result<JobPlan> plan_job(const QuantizeJob& job) {
  JobPlan plan;
  QUANTLANE_TRY(plan.cache, source_kv(job));
  if (job.lane.is_gguf()) {
    QUANTLANE_TRY(plan.gguf, plan_gguf(plan.completed(job)));
  } else {
    QUANTLANE_TRY(plan.folder, plan_folder(plan.completed(job)));
  }
  return plan;
}

// Everything that the codes of a matrix depend on: those of earlier matrices, too.
Result<JobSettings> journal_settings(const QuantizeJob& job, const ArtefactPlan& plan) {
  QUANTLANE_TRY(const std::string source, job.source.content_hash());
  ContentHash types;
  for (const auto& [matrix, target] : plan.matrices) {
    types.add(matrix + " " + target_name(target) + "\n");
  }
  types.add(job.allow_requantize ? "new codes" : "");
  ContentHash importances;
  if (job.statistics != nullptr) {
    for (const auto& [module, inputs] : job.statistics->modules()) {
      importances.add(module);
      importances.add(std::as_bytes(std::span(inputs.sum_squares)));
      importances.add(std::as_bytes(std::span(inputs.absmax)));
    }
  }
  return JobSettings{{"lane", job.lane.name},
                     {"model", source},
                     {"types of matrices", types.hex()},
                     {"calibration text", job.feedback->chunks().hash()},
                     {"importances", importances.hex()},
                     {"instruction set", std::string(isa_name(active_isa()))},
                     {"version of quantlane", std::string(version())}};
}

// What earlier jobs left of this artefact. Jobs without feedback keep nothing themselves, and are
// not disturbed by a folder that is something else.
Result<std::optional<MatrixJournal>> open_journal(const QuantizeJob& job, const JobPlan& plan) {
  if (job.feedback == nullptr) {
    auto journal = MatrixJournal::open(job.out, {{"lane", job.lane.name}});
    return journal ? std::optional(std::move(*journal)) : std::nullopt;
  }
  QUANTLANE_TRY(const JobSettings settings, journal_settings(job, plan.artefact(job)));
  QUANTLANE_TRY(MatrixJournal journal, MatrixJournal::open(job.out, settings));
  return journal;
}

}  // namespace

std::string attempt_of(const QuantizeJob& job) {
  return (job.converts ? "converting to " : "quantizing to ") + job.lane.name;
}

std::vector<float> importance_for(const QuantizeJob& job, const Algorithm* algorithm,
                                  std::string_view module, std::int64_t cols) {
  if (job.statistics == nullptr || algorithm == nullptr || !algorithm->wants_statistics) return {};
  return job.statistics->importance(module, cols);
}

Result<InputModel> inputs_of(const QuantizeJob& job, const Algorithm& algorithm,
                             std::string_view module, std::int64_t cols,
                             const FeedbackRequest& request) {
  InputModel inputs{.importance = importance_for(job, &algorithm, module, cols), .feedback = {}};
  if (job.feedback != nullptr && algorithm.wants_feedback) {
    QUANTLANE_TRY(inputs.feedback, job.feedback->of(module, request));
  }
  return inputs;
}

std::string main_formats(const std::map<std::string, std::int64_t>& tensor_types) {
  std::vector<std::pair<std::int64_t, std::string>> counted;
  for (const auto& [type, count] : tensor_types) counted.emplace_back(count, type);
  std::ranges::sort(counted, [](const auto& a, const auto& b) {
    return a.first != b.first ? a.first > b.first : a.second < b.second;
  });
  std::string text;
  for (const auto& [count, type] : counted) text += (text.empty() ? "" : " + ") + type;
  return text;
}

double stored_bits_per_weight(const Checkpoint& artefact) {
  const auto parameters = static_cast<double>(artefact.parameter_count());
  std::uint64_t bytes = 0;
  for (const TensorInfo& tensor : artefact.container().tensors()) bytes += tensor.size_bytes;
  return parameters > 0 ? 8.0 * static_cast<double>(bytes) / parameters : 0;
}

Result<ArtefactPlan> plan_quantize(const QuantizeJob& job) {
  QUANTLANE_TRY_VOID(check_source(job));
  if (!job.out.empty()) QUANTLANE_TRY_VOID(check_output(job));
  QUANTLANE_TRY_VOID(check_kv(job));
  QUANTLANE_TRY(const JobPlan plan, plan_job(job));
  ArtefactPlan artefact = plan.artefact(job);
  if (!plan.cache.lost.empty()) artefact.notices.push_back(plan.cache.lost);
  return artefact;
}

namespace {

// What an interrupted job has made is worth keeping, and what others have as long as this one may
// have been a mistake.
void finish_journal(MatrixJournal& journal, const Result<QuantizeSummary>& written) {
  if (written) return journal.remove_all();
  const ErrorCode code = written.error().code;
  const bool resumes =
      code == ErrorCode::kCancelled || code == ErrorCode::kIo || code == ErrorCode::kResourceLimit;
  if (!resumes) journal.remove();
}

// Memory that runs out is an error like others: it says that there is something to go on from.
Result<QuantizeSummary> write_artefact(const QuantizeJob& job, const JobPlan& plan,
                                       ThreadPool& pool, Progress& progress) {
  try {
    return job.lane.is_gguf() ? write_gguf(job, plan.gguf, pool, progress)
                              : write_folder(job, plan.folder, pool, progress);
  } catch (const std::bad_alloc&) {
    const std::filesystem::path kept = MatrixJournal::folder_of(job.out);
    std::error_code code;
    return fail(make_error(ErrorCode::kResourceLimit, attempt_of(job))
                    .expects("enough memory")
                    .advise(std::filesystem::exists(kept, code)
                                ? "make memory free and run the same command again: it goes on "
                                  "from the matrices in " +
                                      kept.string()
                                : "ask for less at a time (--memory-limit), or use a machine with "
                                  "more memory"));
  }
}

void note_feedback(const QuantizeJob& job, QuantizeSummary& summary) {
  const FeedbackFindings& findings = job.feedback->findings();
  std::ranges::copy(findings.notices(), std::back_inserter(summary.notices));
  if (job.coverage_told) return;
  summary.experts = expert_coverage(findings.expert_tokens());
  std::ranges::copy(expert_notices(findings.expert_tokens()), std::back_inserter(summary.notices));
  summary.idle_columns = findings.idle_columns();
  if (summary.idle_columns.any()) {
    summary.notices.push_back(idle_columns_notice(summary.idle_columns));
  }
}

}  // namespace

Result<QuantizeSummary> run_quantize(const QuantizeJob& job, ThreadPool& pool, Progress& progress) {
  QUANTLANE_TRY_VOID(check_source(job));
  QUANTLANE_TRY_VOID(check_output(job));
  QUANTLANE_TRY_VOID(check_kv(job));
  const auto start = std::chrono::steady_clock::now();
  const auto plan = plan_job(job);
  if (!plan) return fail(located(plan.error(), job.source));
  QUANTLANE_TRY(std::optional<MatrixJournal> journal, open_journal(job, *plan));
  QuantizeJob kept = plan->completed(job);
  std::vector<std::string> told;  // before the work
  if (journal) {
    if (job.feedback != nullptr) kept.journal = &*journal;
    told = journal->notices();
    for (const std::string& line : told) progress.notice(job.lane.name + ": " + line);
  }
  auto written = write_artefact(kept, *plan, pool, progress);
  if (journal) finish_journal(*journal, written);
  if (!written) return fail(located(std::move(written).error(), job.source));
  QuantizeSummary summary = std::move(*written);
  summary.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (summary.files.empty()) summary.files = {job.out};
  for (const auto& file : summary.files) summary.size_bytes += weight_bytes(file);
  summary.format = main_formats(summary.tensor_types);
  if (job.feedback != nullptr) note_feedback(job, summary);
  if (!plan->cache.lost.empty()) summary.notices.push_back(plan->cache.lost);
  for (const std::string& notice : summary.notices) progress.notice(job.lane.name + ": " + notice);
  summary.notices.insert(summary.notices.begin(), told.begin(), told.end());
  return summary;
}

}  // namespace quantlane
