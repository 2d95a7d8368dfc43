// The stages of compare(), in order, over one state.
#pragma once
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "api/defaults.h"
#include "api/importances.h"
#include "api/memory_plan.h"
#include "api/work_store.h"
#include "calibrate/dataset.h"
#include "core/threads.h"
#include "eval/tasks.h"
#include "eval/text_scores.h"
#include "model/checkpoint.h"
#include "quantize/lanes/lane.h"
#include "quantlane/compare.h"
#include "recommend/lane_facts.h"
#include "runtime/runtime.h"

namespace quantlane {

// One lane on its way through the stages.
struct LaneWork {
  Lane lane;
  std::string key;            // content that the artefact depends on
  std::string artefact_hash;  // of the bytes on disk
  LaneReport report;
  LaneFacts facts;  // of the artefact, for projection and rules
  // An artefact that was there before, opened; it is measured as it is.
  std::shared_ptr<const Checkpoint> existing;
  bool loads = true;                             // in the engine asked for, or in one of its own
  bool served = true;                            // by an engine: the one asked for, or its own
  std::shared_ptr<const Checkpoint> checkpoint;  // the artefact, read back
  MemoryPlan memory = {};                        // of making the artefact
  TokenScores scores;
  TokenScores engine_scores;                            // where the engine's arithmetic differs
  std::vector<std::vector<std::uint8_t>> task_answers;  // per set, per item
};

// One pass over the text: the weights of a lane alone, or as its engine computes.
struct LaneScoring {
  LaneWork* work;
  Arithmetic arithmetic;
  [[nodiscard]] TokenScores& scores() const {
    return arithmetic == Arithmetic::kEngine ? work->engine_scores : work->scores;
  }
};

// What is timed, and where the figures go.
struct SpeedTarget {
  std::string name;
  std::filesystem::path path;
  Speed* report;
  std::uint64_t* peak_rss_bytes;
  std::vector<Speed> rounds = {};
};

class Comparison {
 public:
  Comparison(const CompareOptions& options, Progress& progress);
  Result<CompareReport> run();

 private:
  // What would only fail at the end of a long run: output folder, margins, target hardware.
  [[nodiscard]] Result<void> check_request() const;
  Result<void> open();
  // What the engines will say of each lane, before anything is made.
  Result<void> ask_engines();
  Result<void> prepare_texts();
  Result<void> read_imatrix();
  // With --memory-limit: refuses one that is too small for a stage.
  Result<void> plan_memory();
  Result<void> calibrate();
  // With --adapter: the reference gets it, the base is kept.
  Result<void> merge_adapter();
  // Ranges of activations of the base beside those of the reference.
  Result<void> measure_activation_shift();
  Result<void> quantize(LaneWork& work);
  // The artefact of a lane that is not there yet, from the reference under the lane's transforms.
  Result<QuantizeSummary> write_artefact(const LaneWork& work, const Importances& importances);
  [[nodiscard]] Result<void> check_artefacts() const;
  Result<LaneWork> lane_named(const std::string& name) const;
  // With --adapter: kInvalidArgument for an artefact that was made from the base without it.
  Result<void> check_adapted(const Checkpoint& artefact) const;
  // The same for an artefact that exists.
  Result<void> adopt(LaneWork& work);
  void describe_artefact(LaneWork& work) const;
  Result<void> evaluate();
  Result<void> measure_noise_floor();
  // The reference under each scheme of --kv.
  Result<void> measure_kv();
  Result<void> run_task_sets();
  Result<void> measure_speed();
  Result<void> measure_errors();
  Result<void> judge();
  Result<void> write();

  // Are the importances of `lane` those of the imatrix that was given?
  [[nodiscard]] bool takes_imatrix(const Lane& lane) const;
  // What `lane` weighs errors by.
  [[nodiscard]] const Importances& importances_of(const Lane& lane) const;
  [[nodiscard]] std::string evaluation_key(const std::string& artefact_hash) const;
  [[nodiscard]] std::filesystem::path scores_file(const LaneScoring& scoring) const;
  Result<std::vector<std::vector<std::uint8_t>>> answers_of(
      const std::string& name, const std::string& hash,
      const std::shared_ptr<const Checkpoint>& checkpoint, Arithmetic arithmetic);
  // The passes that earlier runs have not finished, their scores so far loaded.
  [[nodiscard]] std::vector<LaneScoring> open_scorings();
  Result<void> evaluate_group(std::span<LaneScoring> group, Runtime& reference);
  [[nodiscard]] std::uint64_t standing_bytes(const TokenChunks& calibration) const;
  // Under a limit of memory layer by layer.
  [[nodiscard]] Result<std::unique_ptr<Runtime>> load(
      std::shared_ptr<const Checkpoint> checkpoint,
      Arithmetic arithmetic = Arithmetic::kFloat) const;
  // For speeds: all of its weights in memory, unless the limit is too small; a notice then.
  Result<std::unique_ptr<Runtime>> load_whole(const std::shared_ptr<const Checkpoint>& checkpoint,
                                              const std::string& name);
  // What a scoring adds to those beside it. `shared`: the one before it is of the same artefact.
  [[nodiscard]] std::uint64_t bytes_beside(const LaneScoring& scoring, bool shared) const;
  // Adds a round: the best of a few runs.
  Result<void> measure_round(SpeedTarget& target);

  const CompareOptions& options_;
  Progress& progress_;
  ThreadPool pool_;
  WorkStore store_;
  std::shared_ptr<const Checkpoint> reference_;
  std::shared_ptr<const Checkpoint> base_;  // without --adapter: null
  std::string reference_hash_;
  TokenChunks chunks_;
  std::string text_hash_;
  NamedText calibration_;
  std::string calibration_key_;
  // Of our own pass; left out where --imatrix serves every lane.
  std::optional<Importances> importances_;
  // Of --imatrix, for the GGUF lanes, with the hash of its file.
  std::optional<Importances> imatrix_;
  std::string imatrix_key_;
  bool replaces_report_ = false;  // that of an earlier run
  std::vector<TaskSet> task_sets_;
  std::vector<std::vector<std::uint8_t>> reference_answers_;
  std::vector<LaneWork> lanes_;
  std::int64_t context_ = 0;  // of the workload
  // Bytes, by plan_memory(); 0 without --memory-limit.
  std::uint64_t memory_limit_ = 0;
  std::uint64_t standing_bytes_ = 0;
  std::uint64_t scoring_run_bytes_ = 0;
  std::uint64_t scoring_budget_ = 0;  // for artefacts that are scored side by side
  std::set<std::string> streamed_;    // timed layer by layer
  CompareReport report_;
};

}  // namespace quantlane
