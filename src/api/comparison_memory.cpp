// compare --memory-limit: what its stages hold at one time, added up before any work.
#include <algorithm>
#include <string>

#include <fmt/format.h>

#include "api/comparison.h"
#include "bench/machine.h"
#include "core/check.h"
#include "core/process_memory.h"
#include "eval/score_text.h"
#include "eval/tasks.h"
#include "model/tokenizer/tokenizer.h"
#include "quantize/pipeline.h"
#include "recommend/hardware.h"
#include "runtime/model_bytes.h"

namespace quantlane {
namespace {

// Of each scored token: its scores, and those of the pass that adds to them.
constexpr std::uint64_t kScoreBytes = 64;
// Rows of logits that items of a batch have for their answers, about.
constexpr std::int64_t kAnswerRows = 256;

std::uint64_t layer_of(const ModelBytes& bytes) {
  return std::max(bytes.mapped_layer, bytes.mapped_ends);
}

// What the artefact of a lane takes when it runs. One that is yet to be made: Linears of a dialect
// unpacked, else pages of at most the share that the planned file has of the reference.
Result<ModelBytes> artefact_bytes(const LaneWork& work, const Checkpoint& reference) {
  if (work.existing != nullptr) return model_bytes(*work.existing);
  ModelBytes bytes = model_bytes(reference);
  if (work.lane.dialect != nullptr) {
    for (const Parameter& p : reference.graph()->parameters) {
      const auto values = static_cast<std::uint64_t>(p.rows * p.cols);
      if (is_linear(p.role)) bytes.resident += values + values / 4;
    }
    return bytes;
  }
  QUANTLANE_TRY(const ArtefactPlan plan, plan_quantize({.source = reference, .lane = work.lane}));
  std::uint64_t planned = 0;
  for (const PlannedTensor& tensor : plan.tensors) planned += tensor.size_bytes();
  const std::uint64_t growth = 1 + planned / std::max<std::uint64_t>(1, reference.size_bytes());
  bytes.mapped *= growth;
  bytes.mapped_layer *= growth;
  bytes.mapped_ends *= growth;
  return bytes;
}

// Tokens of the longest batch of task items.
Result<std::int64_t> task_tokens(const std::vector<TaskSet>& sets, const Checkpoint& reference) {
  if (sets.empty()) return 0;
  QUANTLANE_TRY(const auto tokenizer, reference.tokenizer());
  std::int64_t longest = kTaskTokensPerPass;
  for (const TaskSet& set : sets) {
    for (const TaskItem& item : set.items) {
      const std::string text = item.prompt + item.answer;
      if (static_cast<std::int64_t>(text.size()) < longest) continue;  // a token has a byte
      longest =
          std::max(longest, static_cast<std::int64_t>(tokenizer->encode(text, true).size()) + 1);
    }
  }
  return longest;
}

}  // namespace

// What no stage gives back: the program, texts, statistics, scores.
std::uint64_t Comparison::standing_bytes(const TokenChunks& calibration) const {
  const Graph& graph = *reference_->graph();
  const std::uint64_t tokens = chunks_.tokens.size() + calibration.tokens.size();
  const std::uint64_t scored = chunks_.tokens.size() / 2 * (2 * lanes_.size() + options_.kv.size());
  return program_bytes(pool_.size(), &graph) + statistics_bytes(graph) * (imatrix_ ? 2 : 1) +
         16 * tokens + kScoreBytes * scored;
}

Result<void> Comparison::plan_memory() {
  if (options_.memory_limit == "available") return {};
  QUANTLANE_TRY(memory_limit_, memory_limit(options_.memory_limit));
  return_freed_arrays();
  MemoryRequest request{.job = "comparing lanes",
                        .limit = options_.memory_limit,
                        .folder = std::filesystem::absolute(options_.out),
                        .threads = pool_.size()};
  QUANTLANE_TRY(const TokenChunks calibration,
                calibration_chunks(*reference_, calibration_, kCalibrationChunks));
  QUANTLANE_TRY(const std::int64_t task, task_tokens(task_sets_, *reference_));
  const ModelConfig& config = reference_->graph()->config;
  const ModelBytes reference = model_bytes(*reference_);
  const ScoringBytes scoring = scoring_bytes(config, chunks_);
  const std::uint64_t standing = standing_bytes(calibration);
  const std::uint64_t tasks =
      task == 0 ? 0
                : walk_bytes(config, task, task, 1).buffers + KvCache::bytes(config, task) +
                      4 * static_cast<std::uint64_t>(kAnswerRows * config.vocab_size);
  // Stages with the reference alone: calibration; the noise floor; caches, with a run each.
  const std::uint64_t kv = options_.kv.size();
  std::uint64_t least = account_memory(request, memory_limit_, *reference_, {}, calibration).least +
                        kv * (scoring.run + reference.resident);
  const std::uint64_t evaluating =
      standing + reference.resident + layer_of(reference) + scoring.pass + scoring.run;
  least = std::max(
      least, evaluating + std::max<std::uint64_t>(1, kv) * (scoring.run + reference.resident));
  least = std::max(least, standing + reference.resident + layer_of(reference) + tasks);
  if (options_.target == kThisMachine) least = std::max(least, standing + kMachineBytes);
  std::uint64_t widest = layer_of(reference);
  for (LaneWork& work : lanes_) {
    if (work.existing == nullptr) {
      work.memory = account_memory(request, memory_limit_, *reference_, work.lane, calibration);
      least = std::max(least, work.memory.least);
    }
    QUANTLANE_TRY(const ModelBytes artefact, artefact_bytes(work, *reference_));
    const std::uint64_t layer = std::max(layer_of(reference), layer_of(artefact));
    widest = std::max(widest, layer);
    least =
        std::max(least, evaluating - layer_of(reference) + layer + artefact.resident + scoring.run);
    least = std::max(least, standing + artefact.resident + layer_of(artefact) + tasks);
    // Errors of matrices: a layer of each side by side, where it is unpacked in both forms.
    least = std::max(least, standing + layer_of(reference) + 2 * layer_of(artefact));
  }
  if (least > memory_limit_) {
    return fail(too_little_memory(request, least, *reference_,
                                  "fewer threads need less, and so do GGUF lanes, which run as "
                                  "they are stored: those of folders are unpacked"));
  }
  standing_bytes_ = standing;
  scoring_run_bytes_ = scoring.run;
  scoring_budget_ = memory_limit_ - (evaluating - layer_of(reference) + widest);
  for (const LaneWork& work : lanes_) {
    if (!work.memory.notice.empty()) progress_.notice(work.lane.name + ": " + work.memory.notice);
  }
  return {};
}

Result<std::unique_ptr<Runtime>> Comparison::load(std::shared_ptr<const Checkpoint> checkpoint,
                                                  Arithmetic arithmetic) const {
  return Runtime::load(std::move(checkpoint), arithmetic, 0,
                       memory_limit_ > 0 ? Residency::kLayers : Residency::kWhole);
}

Result<std::unique_ptr<Runtime>> Comparison::load_whole(
    const std::shared_ptr<const Checkpoint>& checkpoint, const std::string& name) {
  if (memory_limit_ == 0) return Runtime::load(checkpoint);
  auto whole = Runtime::load(checkpoint, Arithmetic::kFloat, memory_limit_ - standing_bytes_);
  if (whole || whole.error().code != ErrorCode::kResourceLimit) return whole;
  if (streamed_.insert(name).second) {
    progress_.notice(name +
                     ": timed with its layers read again in every pass, as all of them are "
                     "more than --memory-limit");
  }
  return load(checkpoint);
}

std::uint64_t Comparison::bytes_beside(const LaneScoring& scoring, bool shared) const {
  const Checkpoint& artefact = *scoring.work->checkpoint;
  if (memory_limit_ > 0) return model_bytes(artefact).resident + scoring_run_bytes_;
  if (shared) return 0;
  // One byte per weight for unpacked Linears, the mapped file otherwise.
  return std::max(artefact.size_bytes(),
                  artefact.dialect() != nullptr ? artefact.parameter_count() : std::uint64_t{0});
}

}  // namespace quantlane
