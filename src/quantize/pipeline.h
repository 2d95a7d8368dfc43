// One lane of one checkpoint to one artefact: read, quantize, write, in a stream over tensors.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "calibrate/feedback_source.h"
#include "calibrate/statistics.h"
#include "core/threads.h"
#include "model/checkpoint.h"
#include "quantize/algorithms/algorithm.h"
#include "quantize/lanes/lane.h"
#include "quantize/lanes/transfer.h"
#include "quantize/matrix_journal.h"
#include "quantlane/coverage.h"
#include "quantlane/progress.h"
#include "quantlane/result.h"

namespace quantlane {

// How a GGUF artefact is cut into files NAME-00001-of-00003.gguf, and a folder into
// model-00001-of-00003.safetensors.
struct SplitRequest {
  bool keep = false;              // each tensor in the shard that it has in the source
  std::uint64_t max_bytes = 0;    // of one file; 0 = no limit
  std::uint64_t shard_bytes = 0;  // of one file of a folder; 0 = shards as in the source
  // Of GGUF.
  [[nodiscard]] bool any() const { return keep || max_bytes > 0; }
};

// Where importances come from; GGUF files carry it as llama-quantize writes it
// (quantize.imatrix.file, .dataset, .entries_count, .chunks_count). Empty and 0 are left out.
struct ImportanceOrigin {
  std::string file = {};
  std::string dataset = {};  // names of the texts
  std::int64_t entries = 0;
  std::int64_t chunks = 0;
};

struct QuantizeJob {
  const Checkpoint& source;
  const Lane& lane;
  const Statistics* statistics = nullptr;  // importance; nullptr = none
  std::filesystem::path out = {};          // folder, or file ending in .gguf
  // Quantize every two-dimensional ".weight" that is no embedding, head or norm, without knowing
  // the architecture. Folder lanes only.
  bool arch_agnostic = false;
  // GGUF lanes only; `statistics` imply request.importance.
  RecipeRequest request = {};
  SplitRequest split = {};
  ImportanceOrigin origin = {};        // of `statistics`
  FeedbackSource* feedback = nullptr;  // for algorithms that want it; nullptr = none
  // Experts and columns that the calibration text did not reach have been reported already.
  bool coverage_told = false;
  MatrixJournal* journal = nullptr;  // run_quantize() opens it where there is feedback
  // Scheme and scales of the key-value cache to write; nullptr = those of the source
  // (source_kv.h). A plan needs the scheme only.
  const KvRounding* kv = nullptr;
  bool drops_kv = false;  // none in the artefact, whatever the source has
  // Write types that need importances (GgufRecipe::needs_importance) without any, too.
  bool force_unweighted = false;
  bool allow_requantize = false;  // quantize what the source holds quantized a second time
  // What is at `out` when the work is done may go; else what came meanwhile stays, and the artefact
  // lies beside it.
  bool replace = true;
  // The job carries codes over (quantlane convert): what it cannot keep is refused by that name.
  bool converts = false;
  // Every matrix in the type that takes it as the source holds it, whatever the recipe says. GGUF.
  bool as_stored = false;
};

struct QuantizeSummary {
  std::vector<std::filesystem::path> files;  // the artefact, or the shards of a split one
  std::uint64_t size_bytes = 0;              // of the whole artefact on disk
  double bits_per_weight = 0;                // tensor bytes * 8 / parameters
  double seconds = 0;
  std::string format;                                // "fp8_e4m3_channel", "q4_k + q6_k"
  std::map<std::string, std::int64_t> tensor_types;  // encoding -> number of tensors
  std::vector<std::string> notices;                  // fallbacks taken
  // What error feedback saw; not where coverage_told.
  std::optional<ExpertCoverage> experts;
  DeadChannels idle_columns;
  DeadChannels zero_rows;  // of Linears that got new codes or types in this run
  // How the parameters that the source holds quantized got into the artefact.
  std::map<std::string, Transfer> transfers;
};

// "quantizing to w4a16", "converting to w4a16": the beginning of an error.
std::string attempt_of(const QuantizeJob& job);

// The artefact appears whole or not at all. kUnsupported where the source is quantized, the codes
// do not fit the lane's types and the job does not allow new ones.
Result<QuantizeSummary> run_quantize(const QuantizeJob& job, ThreadPool& pool, Progress& progress);

// What becomes of one matrix that gets codes: either form.
struct MatrixTarget {
  std::optional<LinearScheme> scheme = {};
  const BlockFormat* block = nullptr;
};

// What run_quantize would write, without reading any weight; `job.out` may be empty.
struct ArtefactPlan {
  std::vector<PlannedTensor> tensors;  // as stored, in file order
  std::uint64_t values = 0;            // parameters
  std::size_t files = 1;               // that hold tensors
  Json config = {};                    // config.json of a folder, null of a GGUF file
  std::vector<std::string> notices;
  std::map<std::string, MatrixTarget> matrices;  // by parameter name; those that get codes
};
Result<ArtefactPlan> plan_quantize(const QuantizeJob& job);

// Mean number of stored bits per parameter of an artefact's tensors.
double stored_bits_per_weight(const Checkpoint& artefact);

// The two writers behind run_quantize, one file each, with what folder_plan.h and gguf_plan.h have
// found that they are to write.
struct FolderPlan;
struct GgufPlan;
Result<QuantizeSummary> write_folder(const QuantizeJob& job, const FolderPlan& plan,
                                     ThreadPool& pool, Progress& progress);
Result<QuantizeSummary> write_gguf(const QuantizeJob& job, const GgufPlan& plan, ThreadPool& pool,
                                   Progress& progress);

// Shared by both: importance of the inputs of `module` (empty = none), joined names of the
// encodings, most frequent first.
std::vector<float> importance_for(const QuantizeJob& job, const Algorithm* algorithm,
                                  std::string_view module, std::int64_t cols);
// What `algorithm` is to know of the inputs of `module`; `request` says how feedback is used.
Result<InputModel> inputs_of(const QuantizeJob& job, const Algorithm& algorithm,
                             std::string_view module, std::int64_t cols,
                             const FeedbackRequest& request = {});
std::string main_formats(const std::map<std::string, std::int64_t>& tensor_types);

}  // namespace quantlane
