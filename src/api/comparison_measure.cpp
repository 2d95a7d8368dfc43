// The measuring stages of compare(): accuracy, tasks, speed, layer errors.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>
#include <span>
#include <utility>

#include "api/comparison.h"
#include "api/labelled_progress.h"
#include "bench/throughput.h"
#include "core/cancel.h"
#include "core/check.h"
#include "core/cpu.h"
#include "core/process_memory.h"
#include "eval/layer_errors.h"
#include "eval/score_text.h"
#include "quantlane/version.h"

namespace quantlane {
namespace {

// Chunks and piece length of the noise floor: a growing cache, and so few tokens at a time that the
// matrix products take the arithmetic of decoding, not that of the whole chunk.
constexpr std::int64_t kNoiseChunks = 4;
constexpr std::int64_t kNoisePiece = 4;
constexpr std::int64_t kErrorSampleRows = 128;
constexpr std::int64_t kPrefill = 512;
constexpr std::int64_t kDecode = 32;
constexpr int kRounds = 3;
constexpr int kRepeats = 2;
// Timings that differ by more between rounds are measured again by the next run.
constexpr double kSettled = 0.15;
constexpr std::string_view kSpeedRecord = "speed";

TaskScore paired_score(const std::string& name, std::span<const std::uint8_t> reference,
                       std::span<const std::uint8_t> lane) {
  TaskScore score{.name = name, .n = static_cast<std::int64_t>(lane.size())};
  for (std::size_t i = 0; i < lane.size(); ++i) {
    score.reference += reference[i];
    score.lane += lane[i];
    score.lost += reference[i] != 0 && lane[i] == 0 ? 1 : 0;
    score.gained += reference[i] == 0 && lane[i] != 0 ? 1 : 0;
  }
  return score;
}

Speed summarize(std::span<const Speed> rounds) {
  Speed best = rounds[0];
  Speed worst = rounds[0];
  for (const Speed& round : rounds) {
    best.prefill_tok_s = std::max(best.prefill_tok_s, round.prefill_tok_s);
    best.decode_tok_s = std::max(best.decode_tok_s, round.decode_tok_s);
    worst.prefill_tok_s = std::min(worst.prefill_tok_s, round.prefill_tok_s);
    worst.decode_tok_s = std::min(worst.decode_tok_s, round.decode_tok_s);
  }
  best.spread = std::max({best.spread, 1 - worst.prefill_tok_s / best.prefill_tok_s,
                          1 - worst.decode_tok_s / best.decode_tok_s});
  return best;
}

// Whether the record holds a speed for each target; they are filled in then.
bool restore_speeds(const Json& record, std::span<const SpeedTarget> targets) {
  if (record.items().size() != targets.size()) return false;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    const Json& speed = record.items()[i];
    *targets[i].report = {.prefill_tok_s = speed["prefill_tok_s"].number(),
                          .decode_tok_s = speed["decode_tok_s"].number(),
                          .spread = speed["spread"].number()};
    *targets[i].peak_rss_bytes = static_cast<std::uint64_t>(speed["peak_rss_bytes"].integer());
  }
  return true;
}

TokenChunks first_chunks(const TokenChunks& chunks, std::int64_t count) {
  TokenChunks part{.chunk = chunks.chunk, .tokens = chunks.tokens};
  part.tokens.resize(static_cast<std::size_t>(std::min(count, chunks.count()) * chunks.chunk));
  return part;
}

}  // namespace

std::filesystem::path Comparison::scores_file(const LaneScoring& scoring) const {
  const bool engine = scoring.arithmetic == Arithmetic::kEngine;
  return store_.path((engine ? "engine-scores-" : "scores-") +
                     file_name_of(scoring.work->lane.name) + ".safetensors");
}

std::vector<LaneScoring> Comparison::open_scorings() {
  const std::int64_t wanted = chunks_.count() * (chunks_.chunk - chunks_.chunk / 2);
  std::vector<LaneScoring> open;
  for (LaneWork& work : lanes_) {
    for (const Arithmetic arithmetic : {Arithmetic::kFloat, Arithmetic::kEngine}) {
      if (arithmetic == Arithmetic::kEngine && !work.checkpoint->engine_differs()) continue;
      const LaneScoring scoring{&work, arithmetic};
      TokenScores& scores = scoring.scores();
      if (!store_.fresh()) {
        scores = TokenScores::load(scores_file(scoring), evaluation_key(work.artefact_hash));
        // An earlier run may have scored more chunks than this one asks for.
        scores.keep_first(wanted);
      }
      if (scores.count() < wanted) open.push_back(scoring);
    }
  }
  return open;
}

Result<void> Comparison::evaluate() {
  std::vector<LaneScoring> open = open_scorings();
  if (!open.empty()) {
    QUANTLANE_TRY(const auto reference, load(reference_));
    // As many lanes side by side as the limit or half of the free memory holds; the reference runs
    // once a group.
    const bool limited = memory_limit_ > 0;
    const std::uint64_t budget = limited ? scoring_budget_ : cpu_info().available_bytes / 2;
    for (std::size_t first = 0; first < open.size();) {
      std::uint64_t used = limited ? 0 : reference_->size_bytes();
      std::size_t last = first;
      for (; last < open.size(); ++last) {
        // The two passes of a lane share its mapped file.
        const bool shared = last > first && open[last].work == open[last - 1].work;
        const std::uint64_t more = bytes_beside(open[last], shared);
        if (last > first && used + more > budget) break;
        used += more;
      }
      QUANTLANE_TRY_VOID(evaluate_group(std::span(open).subspan(first, last - first), *reference));
      first = last;
    }
  }
  for (LaneWork& work : lanes_) {
    const EvalResult result = summarize(work.scores);
    Quality& quality = work.report.quality;
    quality.ppl = result.ppl;
    if (result.divergence) quality.divergence = *result.divergence;
    if (work.engine_scores.paired()) quality.engine = summarize_engine(work.engine_scores);
    report_.tokens_scored = result.tokens_scored;
  }
  if (!lanes_.empty() && !lanes_[0].scores.reference_nll.empty()) {
    double sum = 0;
    for (const float nll : lanes_[0].scores.reference_nll) sum += static_cast<double>(nll);
    report_.reference.ppl =
        std::exp(sum / static_cast<double>(lanes_[0].scores.reference_nll.size()));
  }
  return {};
}

Result<void> Comparison::evaluate_group(std::span<LaneScoring> group, Runtime& reference) {
  std::vector<std::unique_ptr<Runtime>> runtimes;
  std::vector<ScoredRun> candidates;
  for (const LaneScoring& scoring : group) {
    QUANTLANE_TRY(auto runtime, load(scoring.work->checkpoint, scoring.arithmetic));
    candidates.push_back(
        {.runtime = runtime.get(), .scores = std::move(scoring.scores()), .shape = {}});
    runtimes.push_back(std::move(runtime));
  }
  const auto save = [&]() -> Result<void> {
    for (std::size_t i = 0; i < group.size(); ++i) {
      QUANTLANE_TRY_VOID(candidates[i].scores.save(scores_file(group[i]),
                                                   evaluation_key(group[i].work->artefact_hash)));
    }
    return {};
  };
  std::set<const LaneWork*> lanes;
  for (const LaneScoring& scoring : group) lanes.insert(scoring.work);
  LabelledProgress progress(progress_, lanes.size() == 1 ? group[0].work->lane.name
                                                         : std::to_string(lanes.size()) + " lanes");
  QUANTLANE_TRY_VOID(score_text(&reference, candidates, chunks_, pool_, progress, save));
  for (std::size_t i = 0; i < group.size(); ++i) {
    group[i].scores() = std::move(candidates[i].scores);
  }
  return {};
}

Result<void> Comparison::measure_noise_floor() {
  QUANTLANE_TRY(const auto first, load(reference_));
  QUANTLANE_TRY(const auto second, load(reference_));
  ScoredRun candidate{.runtime = second.get(), .scores = {}, .shape = {.piece = kNoisePiece}};
  const TokenChunks chunks = first_chunks(chunks_, kNoiseChunks);
  LabelledProgress progress(progress_, "noise floor");
  QUANTLANE_TRY_VOID(
      score_text(first.get(), std::span(&candidate, 1), chunks, pool_, progress, {}));
  const EvalResult result = summarize(candidate.scores);
  report_.noise_floor = *result.divergence;
  if (report_.reference.ppl <= 0) report_.reference.ppl = result.ppl;
  return {};
}

Result<std::vector<std::vector<std::uint8_t>>> Comparison::answers_of(
    const std::string& name, const std::string& hash,
    const std::shared_ptr<const Checkpoint>& checkpoint, Arithmetic arithmetic) {
  std::unique_ptr<Runtime> runtime;
  LabelledProgress progress(progress_, name);
  std::vector<std::vector<std::uint8_t>> answers;
  for (const TaskSet& set : task_sets_) {
    std::string text;
    for (const TaskItem& item : set.items) text += item.prompt + '\0' + item.answer + '\0';
    const std::string key =
        make_key({hash, text, arithmetic == Arithmetic::kEngine ? "engine" : "", version()});
    const std::string record_name = "task-" + set.name + "-" + file_name_of(name);
    std::vector<std::uint8_t> right;
    if (const auto record = store_.find(record_name, key)) {
      for (const char c : (*record)["right"].string()) right.push_back(c == '1' ? 1 : 0);
    }
    if (right.size() != set.items.size()) {
      if (!runtime) {
        QUANTLANE_TRY(runtime, load(checkpoint, arithmetic));
      }
      QUANTLANE_TRY(right, run_tasks(*runtime, set, pool_, progress));
      std::string flags;
      for (const std::uint8_t flag : right) flags += flag != 0 ? '1' : '0';
      QUANTLANE_TRY_VOID(store_.put(record_name, key, Json::object({{"right", flags}})));
    }
    answers.push_back(std::move(right));
  }
  return answers;
}

Result<void> Comparison::run_task_sets() {
  if (task_sets_.empty()) return {};
  QUANTLANE_TRY(reference_answers_,
                answers_of("reference", reference_hash_, reference_, Arithmetic::kFloat));
  for (std::size_t s = 0; s < task_sets_.size(); ++s) {
    report_.reference.tasks.push_back(
        paired_score(task_sets_[s].name, reference_answers_[s], reference_answers_[s]));
  }
  for (LaneWork& work : lanes_) {
    QUANTLANE_TRY(work.task_answers, answers_of(work.lane.name, work.artefact_hash, work.checkpoint,
                                                Arithmetic::kEngine));
    for (std::size_t s = 0; s < task_sets_.size(); ++s) {
      work.report.quality.tasks.push_back(
          paired_score(task_sets_[s].name, reference_answers_[s], work.task_answers[s]));
    }
  }
  return {};
}

Result<void> Comparison::measure_errors() {
  // All lanes by the same measure.
  const Importances& importances = importances_ ? *importances_ : *imatrix_;
  for (LaneWork& work : lanes_) {
    QUANTLANE_TRY_VOID(check_cancel("measuring layer errors"));
    QUANTLANE_TRY(work.report.layer_errors,
                  measure_layer_errors(*reference_, *work.checkpoint, &importances.statistics,
                                       kErrorSampleRows, pool_));
    if (work.report.layer_errors.empty()) {
      progress_.notice(work.lane.name +
                       ": no errors of single matrices, as they are scaled or rotated ones");
    }
  }
  return {};
}

Result<void> Comparison::measure_round(SpeedTarget& target) {
  reset_peak_rss();
  QUANTLANE_TRY(const std::shared_ptr<const Checkpoint> checkpoint, Checkpoint::open(target.path));
  QUANTLANE_TRY(const auto runtime, load_whole(checkpoint, target.name));
  const std::int64_t context = runtime->config().context_length;
  const std::int64_t prefill = context > 0 ? std::min(kPrefill, context - kDecode) : kPrefill;
  LabelledProgress progress(progress_, target.name);
  QUANTLANE_TRY(const BenchResult result,
                measure_throughput(*runtime, prefill, kDecode, kRepeats, pool_, progress));
  target.rounds.push_back(
      {.prefill_tok_s = result.prefill_tok_s, .decode_tok_s = result.decode_tok_s});
  *target.peak_rss_bytes = std::max(*target.peak_rss_bytes, peak_rss_bytes());
  return {};
}

Result<void> Comparison::measure_speed() {
  // Nothing else of this process should count into the peaks that follow.
  for (LaneWork& work : lanes_) work.checkpoint.reset();
  std::vector<SpeedTarget> targets = {{.name = "reference",
                                       .path = report_.reference.path,
                                       .report = &report_.reference.speed,
                                       .peak_rss_bytes = &report_.reference.peak_rss_bytes}};
  std::string hashes = reference_hash_;
  for (LaneWork& work : lanes_) {
    targets.push_back({.name = work.lane.name,
                       .path = work.report.artifact,
                       .report = &work.report.speed,
                       .peak_rss_bytes = &work.report.peak_rss_bytes});
    hashes += work.artefact_hash;
  }
  // Speeds are compared with each other, so all of them are of one session or none is kept.
  const std::string key =
      make_key({hashes, cpu_info().model, isa_name(active_isa()), std::to_string(pool_.size()),
                options_.memory_limit, version()});
  const auto record = store_.find(kSpeedRecord, key);
  if (record && restore_speeds(*record, targets)) return {};
  // There and back again: a machine that is busy for a while slows no lane in every round.
  for (int round = 0; round < kRounds; ++round) {
    for (std::size_t i = 0; i < targets.size(); ++i) {
      QUANTLANE_TRY_VOID(measure_round(targets[round % 2 == 0 ? i : targets.size() - 1 - i]));
    }
  }
  Json speeds = Json::array();
  bool settled = true;
  for (const SpeedTarget& target : targets) {
    *target.report = summarize(target.rounds);
    settled = settled && target.report->spread <= kSettled;
    speeds.push(Json::object({{"prefill_tok_s", target.report->prefill_tok_s},
                              {"decode_tok_s", target.report->decode_tok_s},
                              {"spread", target.report->spread},
                              {"peak_rss_bytes", *target.peak_rss_bytes}}));
  }
  if (!settled) return {};
  return store_.put(kSpeedRecord, key, std::move(speeds));
}

}  // namespace quantlane
