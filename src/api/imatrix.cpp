#include "quantlane/imatrix.h"

#include <chrono>
#include <span>
#include <utility>

#include "api/coverage_json.h"
#include "api/defaults.h"
#include "api/json_lists.h"
#include "api/memory_plan.h"
#include "api/plain_output.h"
#include "calibrate/collect.h"
#include "calibrate/expert_coverage.h"
#include "calibrate/imatrix_figures.h"
#include "calibrate/imatrix_model.h"
#include "calibrate/kept_statistics.h"
#include "calibrate/statistics_view.h"
#include "core/check.h"
#include "core/file.h"
#include "core/json.h"
#include "core/output_path.h"

namespace quantlane {
namespace {

constexpr std::int64_t kMaxChunk = std::int64_t{1} << 24;  // what readers take

ImatrixResult describe(const Imatrix& imatrix, const fs::path& path, std::string_view format) {
  ImatrixResult result;
  result.path = path;
  result.format = format;
  result.entries = static_cast<std::int64_t>(imatrix.entries.size());
  result.chunk_count = imatrix.chunk_count;
  result.chunk_size = imatrix.chunk_size;
  result.tokens = imatrix.tokens();
  result.datasets = imatrix.datasets;
  result.experts = expert_coverage(expert_tokens(imatrix));
  result.notices = coverage_notices(imatrix);
  return result;
}

Result<void> check_replaced(const fs::path& out) {
  if (read_imatrix(out) || Statistics::load(out)) return {};
  return fail(invalid("choosing an output")
                  .in(out.string())
                  .expects("an importance matrix to replace")
                  .got("something else")
                  .advise("choose another -o"));
}

ReplaceCheck replaceable(bool force) { return force ? ReplaceCheck(check_replaced) : keep_others; }

Result<ImatrixResult> write(Imatrix imatrix, const fs::path& path, bool force) {
  QUANTLANE_TRY(const ImatrixFormat* format, imatrix_format_for(path));
  const bool guessed = imatrix.chunk_size == 0 && format->states_chunk_size;
  if (guessed) imatrix.set_chunk_size(kImatrixChunk);
  QUANTLANE_TRY_VOID(format->write(imatrix, path, replaceable(force)));
  ImatrixResult result = describe(imatrix, path, format->name);
  if (guessed) {
    result.notices.push_back("the source does not say how long its chunks were: " +
                             std::to_string(kImatrixChunk) + " tokens are taken (--chunk)");
  }
  return result;
}

ImatrixResult describe_statistics(const Statistics& statistics, const fs::path& path) {
  return describe(view_as_imatrix(statistics), path, "safetensors");
}

// Asked before long work.
Result<void> check_kind(const fs::path& out) {
  if (out.extension() == kStatisticsExtension) return {};
  QUANTLANE_TRY_VOID(imatrix_format_for(out));
  return {};
}

// With `force` a file of the same kinds is replaced, and no other.
Result<void> check_output_file(const fs::path& out, std::span<const InputPath> inputs, bool force) {
  QUANTLANE_TRY_VOID(check_apart(out, inputs));
  QUANTLANE_TRY(const bool taken, check_vacant(out, force, "-o"));
  if (auto checked = taken ? check_replaced(place_of(out)) : Result<void>(); !checked)
    return fail(std::move(checked).error().in(out.string()));
  return check_writable(out);
}

Result<void> check_chunk(std::int64_t chunk) {
  if (chunk <= kMaxChunk) return {};
  return fail(usage_error("choosing the chunks of an importance matrix")
                  .expects("at most " + std::to_string(kMaxChunk) + " tokens")
                  .got(std::to_string(chunk)));
}

// What is not asked for gives way to the model.
Result<std::int64_t> chunk_of(const ImatrixOptions& options, const Checkpoint& checkpoint,
                              Progress& progress) {
  if (options.chunk > 0) {
    QUANTLANE_TRY_VOID(check_context(checkpoint, options.chunk, "collecting an importance matrix"));
    return options.chunk;
  }
  const std::int64_t chunk = chunk_within_context(checkpoint, kImatrixChunk);
  if (chunk < kImatrixChunk) {
    progress.notice("chunks of " + std::to_string(chunk) +
                    " tokens, the context of the model, instead of " +
                    std::to_string(kImatrixChunk));
  }
  return chunk;
}

Json to_value(const ImatrixResult& result) {
  return Json::object({{"path", result.path.string()},
                       {"format", result.format},
                       {"entries", result.entries},
                       {"chunk_count", result.chunk_count},
                       {"chunk_size", result.chunk_size},
                       {"tokens", result.tokens},
                       {"datasets", json_of(result.datasets)},
                       {"seconds", result.seconds},
                       {"experts", coverage_json(result.experts)},
                       {"notices", json_of(result.notices)}});
}

Json to_value(const ImatrixTensor& row) {
  return Json::object({{"name", row.name},
                       {"tensor", row.tensor},
                       {"layer", row.layer},
                       {"columns", row.columns},
                       {"tokens", row.tokens},
                       {"sum", row.sum},
                       {"min", row.min},
                       {"max", row.max},
                       {"mean", row.mean},
                       {"sigma", row.sigma},
                       {"active", row.active},
                       {"entropy", row.entropy},
                       {"outliers", row.outliers},
                       {"cosine", row.cosine ? Json(*row.cosine) : Json()},
                       {"zeros", row.zeros}});
}

}  // namespace

Result<ImatrixResult> collect_imatrix(const ImatrixOptions& asked, Progress& progress) {
  const ImatrixOptions options = with_plain_output(asked);
  QUANTLANE_TRY_VOID(check_kind(options.out));
  QUANTLANE_TRY_VOID(check_chunk(options.chunk));
  const InputPath inputs[] = {{.name = "the checkpoint", .path = options.checkpoint},
                              {.name = "--text", .path = options.text.value_or("")}};
  QUANTLANE_TRY_VOID(check_output_file(options.out, inputs, options.force));
  QUANTLANE_TRY(const auto checkpoint, Checkpoint::open(options.checkpoint));
  QUANTLANE_TRY(const std::int64_t chunk, chunk_of(options, *checkpoint, progress));
  QUANTLANE_TRY(const NamedText text, calibration_text(options.text));
  QUANTLANE_TRY(const TokenChunks chunks,
                make_chunks(*checkpoint, text.text, text.name, chunk, options.chunks, "--chunk"));
  ThreadPool pool(options.threads);
  const bool all_statistics = options.out.extension() == kStatisticsExtension;
  const HeadRows head_rows = options.process_output ? HeadRows::kAll
                             : all_statistics       ? HeadRows::kLastQuarter  // as quantize does
                                                    : HeadRows::kNone;
  QUANTLANE_TRY(const MemoryPlan memory, plan_memory({.job = "collecting an importance matrix",
                                                      .limit = options.memory_limit,
                                                      .folder = {},
                                                      .threads = pool.size(),
                                                      .passes = true,
                                                      .head_rows = head_rows},
                                                     *checkpoint, {}, chunks));
  if (!memory.notice.empty()) progress.notice(memory.notice);
  QUANTLANE_TRY(const auto runtime, Runtime::load_by_layers(checkpoint));
  const auto start = std::chrono::steady_clock::now();
  KeptStatistics kept(options.out, checkpoint, chunks, head_rows, progress);
  QUANTLANE_TRY(Statistics statistics,
                collect_statistics(*runtime, chunks, pool, progress, head_rows, &kept));
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  ImatrixResult result;
  if (all_statistics) {
    QUANTLANE_TRY(std::string model, checkpoint->content_hash());
    statistics.come_from({.model = std::move(model),
                          .texts = {text.name},
                          .chunk_size = chunk,
                          .experts = checkpoint->graph()->config.experts.count});
    QUANTLANE_TRY_VOID(statistics.save(options.out, {}, replaceable(options.force)));
    result = describe_statistics(statistics, options.out);
  } else {
    Imatrix imatrix = imatrix_of(statistics, *checkpoint->graph());
    imatrix.chunk_size = chunk;
    imatrix.chunk_count = chunks.count();
    imatrix.datasets = {text.name};
    QUANTLANE_TRY(result, write(std::move(imatrix), options.out, options.force));
  }
  kept.remove();
  result.seconds = seconds;
  return result;
}

namespace {

// Whole statistics have more than importance matrices, which name matrices otherwise.
Result<bool> merges_statistics(const ImatrixMergeOptions& options) {
  const bool out = options.out.extension() == kStatisticsExtension;
  for (const fs::path& input : options.inputs) {
    if (holds_statistics(input) == out) continue;
    return fail(invalid("merging importance matrices")
                    .in(input.string())
                    .expects(out ? "statistics (.safetensors), as the output is to hold"
                                 : "an importance matrix (.gguf or .dat), as the output is to hold")
                    .got(out ? "an importance matrix, which has second moments alone"
                             : "statistics under the names of the model's own files")
                    .advise("merge each kind with its own; quantlane imatrix CKPT writes either"));
  }
  return out;
}

Result<ImatrixResult> merge_statistics(const ImatrixMergeOptions& options) {
  QUANTLANE_TRY(Statistics merged, Statistics::load(options.inputs.front()));
  const std::string model = merged.origin().model;
  for (std::size_t i = 1; i < options.inputs.size(); ++i) {
    const fs::path& input = options.inputs[i];
    QUANTLANE_TRY(const Statistics next, Statistics::load(input));
    if (model.empty() || next.origin().model != model) {
      return fail(invalid("merging calibration statistics")
                      .in(input.string())
                      .expects("statistics of one model: content " +
                               (model.empty() ? "that the first file does not say" : model))
                      .got(next.origin().model.empty() ? "content that the file does not say"
                                                       : "content " + next.origin().model)
                      .advise("collect them of one model with quantlane imatrix"));
    }
    if (auto added = merged.merge(next); !added) {
      return fail(std::move(added).error().in(input.string()));
    }
  }
  if (options.chunk > 0) {
    StatisticsOrigin origin = merged.origin();
    origin.chunk_size = options.chunk;
    merged.come_from(std::move(origin));
  }
  QUANTLANE_TRY_VOID(merged.save(options.out, {}, replaceable(options.force)));
  return describe_statistics(merged, options.out);
}

}  // namespace

Result<ImatrixResult> merge_imatrix(const ImatrixMergeOptions& asked) {
  const ImatrixMergeOptions options = with_plain_output(asked);
  if (options.inputs.empty()) {
    return fail(invalid("merging importance matrices").expects("at least one file"));
  }
  QUANTLANE_TRY_VOID(check_kind(options.out));
  QUANTLANE_TRY_VOID(check_chunk(options.chunk));
  std::vector<InputPath> inputs;
  for (const fs::path& input : options.inputs)
    inputs.push_back({.name = "an input", .path = input});
  QUANTLANE_TRY_VOID(check_output_file(options.out, inputs, options.force));
  QUANTLANE_TRY(const bool statistics, merges_statistics(options));
  if (statistics) return merge_statistics(options);
  QUANTLANE_TRY(Imatrix merged, read_imatrix(options.inputs.front()));
  for (std::size_t i = 1; i < options.inputs.size(); ++i) {
    QUANTLANE_TRY(Imatrix next, read_imatrix(options.inputs[i]));
    QUANTLANE_TRY_VOID(merged.merge(std::move(next), options.inputs[i].string()));
  }
  if (options.chunk > 0) merged.set_chunk_size(options.chunk);
  return write(std::move(merged), options.out, options.force);
}

Result<ImatrixReport> show_imatrix(const fs::path& path) {
  if (holds_statistics(path)) {
    QUANTLANE_TRY(const Statistics statistics, Statistics::load(path));
    return ImatrixReport{.file = describe_statistics(statistics, path),
                         .tensors = imatrix_figures(view_as_imatrix(statistics))};
  }
  QUANTLANE_TRY(const MappedFile file, MappedFile::open(path));
  const ImatrixFormat& format = imatrix_format_of(file.bytes());
  QUANTLANE_TRY(const Imatrix imatrix, format.parse(file.bytes(), file.path()));
  return ImatrixReport{.file = describe(imatrix, path, format.name),
                       .tensors = imatrix_figures(imatrix)};
}

std::string to_json(const ImatrixResult& result) { return to_value(result).dump(2); }

std::string to_json(const ImatrixReport& report) {
  Json tensors = Json::array();
  for (const ImatrixTensor& row : report.tensors) tensors.push(to_value(row));
  return to_value(report.file).set("tensors", std::move(tensors)).dump(2);
}

}  // namespace quantlane
