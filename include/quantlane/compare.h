// The main job: makes the lanes, measures them against the reference, judges, picks.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "quantlane/evaluate.h"
#include "quantlane/progress.h"
#include "quantlane/result.h"

namespace quantlane {

enum class Verdict : std::uint8_t { kShip, kDoNotShip, kInconclusive };
std::string_view verdict_name(Verdict verdict);  // "ship", "do not ship", "inconclusive"

// Exact-match answers on one task set, paired item by item.
struct TaskScore {
  std::string name;
  std::int64_t n = 0;
  std::int64_t reference = 0;  // items the reference answers
  std::int64_t lane = 0;       // items the lane answers
  std::int64_t lost = 0;       // reference right, lane wrong
  std::int64_t gained = 0;     // reference wrong, lane right
};

// One gate: a non-inferiority test of the lane against the reference.
struct AxisVerdict {
  std::string axis;  // "ppl", "kld", "top1", "task:code", "tasks"
  Verdict verdict = Verdict::kInconclusive;
  Interval estimate;              // of what the gate bounds (loss: larger is worse)
  double margin = 0;              // the largest acceptable loss
  std::string unit;               // "nats", "ratio", "points", …
  std::int64_t more_samples = 0;  // about this many more would decide; 0 when decided
  bool gates = true;              // false: reported only, because the reference itself is at chance
};

struct Quality {
  double ppl = 0;
  Divergence divergence;  // Arithmetic::kFloat: what the weights lose
  // Arithmetic::kEngine where that differs (GGUF lanes): what users of the engine get.
  std::optional<EngineQuality> engine;
  std::vector<TaskScore> tasks;  // Arithmetic::kEngine

  // What is shown and judged: the engine's figures where there are any.
  [[nodiscard]] const Divergence& as_run() const {
    return engine ? engine->divergence : divergence;
  }
};

// Measured on this machine: the best of several rounds.
struct Speed {
  double prefill_tok_s = 0;  // 512-token prompt
  double decode_tok_s = 0;
  double spread = 0;  // 1 - slowest/fastest round, the larger of both rates: the noise of timing
};

// Speed on the target hardware computed from its peaks and bandwidth, never mixed with
// measurements.
struct Projection {
  bool fits = true;    // weights and working memory fit the device
  bool native = true;  // the device has the arithmetic of the lane; else memory saving only
  double prefill_tok_s = 0;
  double decode_tok_s = 0;
  double memory_bytes = 0;  // weights + key-value cache of the workload
  std::string bound;        // "memory bandwidth", "compute"
};

// Relative error of one Linear's output on calibration statistics: an entry of the error map.
struct LayerError {
  std::int64_t layer = 0;
  std::string role;          // "q", "k", "v", "o", "gate", "up", "down", "head"
  std::string format;        // what the tensor got: "q5_0"
  double relative_rmse = 0;  // of the weights, importance-weighted
};

struct LaneReport {
  std::string name;       // "gguf:q4_k_m"
  std::string format;     // "q4_k + q6_k", "fp8_e4m3_channel"
  std::string algorithm;  // "rtn", "weighted"
  std::string dialect;    // "compressed-tensors", "gguf"
  std::string engines;    // "vLLM, SGLang, TGI" / "llama.cpp, Ollama, LM Studio"
  std::filesystem::path artifact;
  std::uint64_t size_bytes = 0;
  double bits_per_weight = 0;
  double quantize_seconds = 0;
  Quality quality;
  Speed speed;
  std::uint64_t peak_rss_bytes = 0;  // of evaluating and timing the artefact
  Verdict verdict = Verdict::kInconclusive;
  std::vector<AxisVerdict> axes;
  std::vector<LayerError> layer_errors;
  std::optional<Projection> projection;
  std::vector<std::string> notices;  // fallbacks and the like
  bool reused = false;               // taken from an earlier run with the same inputs
};

struct ReferenceReport {
  std::filesystem::path path;
  std::string architecture;
  std::uint64_t parameters = 0;
  std::uint64_t size_bytes = 0;
  double bits_per_weight = 0;
  double ppl = 0;
  Speed speed;
  std::uint64_t peak_rss_bytes = 0;
  std::vector<TaskScore> tasks;  // reference == lane
  std::optional<Projection> projection;
};

struct Reason {
  std::string code;  // "NATIVE_FP8"
  std::string text;  // one sentence
};

struct Pick {
  std::string lane;  // empty when nothing may ship; "reference" when only that may
  std::string target;
  std::vector<Reason> reasons;
  std::vector<std::string> flips_if;  // what would change the pick
};

struct MachineReport {
  std::string cpu;
  int cores = 0;
  int threads = 0;
  std::string isa;
  std::uint64_t memory_bytes = 0;
};

// How far an adapter moves the range of the inputs of one Linear: static scales that were
// calibrated on the base clip what lies beyond the base's range.
struct ActivationShift {
  std::int64_t layer = 0;
  std::string role;  // "q", "k", "v", "o", "gate", "up", "down", "head"
  double base = 0;   // largest magnitude on the calibration text
  double adapted = 0;
  double ratio = 0;  // adapted / base
};

// The adapter that the reference has merged.
struct AdapterReport {
  std::filesystem::path path;
  std::string format;                   // "peft", "mlx", "gguf"
  std::int64_t tensors = 0;             // all used
  std::int64_t parameters = 0;          // changed
  std::vector<ActivationShift> shifts;  // every Linear, in the order of the layers
};

// The reference with a rounded key-value cache, against itself with a float one.
struct KvReport {
  std::string name;  // "fp8"
  std::string what;  // "FP8 E4M3, one scale per layer"
  int bits = 0;      // of a value, scales aside
  double ppl = 0;
  Divergence divergence;
  AxisVerdict axis;  // the gate "kv", on the mean divergence
};

struct CompareReport {
  std::string tool_version;
  std::string created;  // ISO 8601, UTC
  std::string command;
  MachineReport machine;
  ReferenceReport reference;
  Divergence noise_floor;  // reference against itself, other batch shape
  std::string text;        // what was evaluated
  std::int64_t chunk = 0;
  std::int64_t tokens_scored = 0;
  std::string calibration;  // what was calibrated on
  std::int64_t calibration_tokens = 0;
  std::optional<AdapterReport> adapter;  // with CompareOptions::adapter
  std::vector<LaneReport> lanes;
  std::vector<KvReport> kv;               // empty where none was asked for
  std::map<std::string, double> margins;  // gate -> margin in force
  Pick pick;
};

struct CompareOptions {
  std::filesystem::path checkpoint;  // empty = the embedded canary model
  // Names, or paths of artefacts that exist already (folder or GGUF); empty = the default six.
  std::vector<std::string> lanes;
  std::vector<std::string>
      kv;  // schemes of the key-value cache to measure: fp8, fp8_head, int8, int4
  std::optional<std::filesystem::path>
      workload;                               // JSONL: {"prompt","answer"} items; file or folder
  std::optional<std::filesystem::path> text;  // evaluation text; default: the embedded prose
  std::optional<std::filesystem::path> calibration_text;
  // Importance matrix (.gguf or .dat) for the GGUF lanes, in place of our own calibration.
  std::optional<std::filesystem::path> imatrix;
  // The reference is the checkpoint with this adapter merged (PEFT or MLX folder, or GGUF file).
  // Not with `imatrix`.
  std::optional<std::filesystem::path> adapter;
  std::string target = "this-machine";  // a name of data/hardware
  // The engine that will serve, its version and ranks: lanes that it will not load are not picked.
  // Empty: a lane counts where one of the engines that it names loads it.
  std::string engine;
  std::string engine_version;
  std::int64_t tensor_parallel = 1;
  std::filesystem::path out = "compare-out";
  std::int64_t chunk = 512;
  std::int64_t chunks = 0;                // 0 = 40, or what the text has
  std::int64_t task_items = 120;          // per set
  std::map<std::string, double> margins;  // overrides of data/gates
  std::int64_t context = 0;  // of the workload, for memory and projection; 0 = 4096 or the model's
  std::int64_t concurrency = 1;  // of the workload, for memory and projection
  int threads = 0;
  // Resident memory to stay below ("6GiB"): models run layer by layer, lanes one after another
  // where they do not fit side by side. "available": what the machine has, for one model at least.
  std::string memory_limit = "available";
  bool fresh = false;   // ignore finished work of earlier runs
  std::string command;  // echoed into the report
};

Result<CompareReport> compare(const CompareOptions& asked, Progress& progress);

// Renders a finished report. report.json is written by compare(); schema in docs/report-schema.md.
std::string to_json(const CompareReport& report);
Result<CompareReport> read_report(const std::filesystem::path& report_json);
// The table and verdict for a terminal, at most `width` columns; `color` adds ANSI colours.
std::string to_table(const CompareReport& report, int width, bool color);
// One self-contained HTML page: no network, works from file://.
std::string to_html(const CompareReport& report);

}  // namespace quantlane
