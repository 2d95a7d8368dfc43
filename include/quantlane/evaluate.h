// Scores a checkpoint on text, alone or paired with a reference on the same tokens.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "quantlane/progress.h"
#include "quantlane/result.h"

namespace quantlane {

// How the inputs of products with quantized weights are treated.
enum class Arithmetic : std::uint8_t {
  kFloat,   // as floats, unless the checkpoint itself asks for a rounding: the weights' own error
  kEngine,  // weights of a GGUF file: rounded as llama.cpp's kernels for processors round them
};

// Half of a two-sided 95 % interval shrinks by this to a one-sided 95 % bound (normal
// quantiles 1.645 and 1.960). For t intervals the true factor is smaller: decisions err towards
// "inconclusive".
inline constexpr double kOneSidedShare = 1.6448536269514722 / 1.959963984540054;

// A point estimate with its 95 % confidence interval, which ends where the quantity does (a
// divergence is never below 0).
struct Interval {
  double value = 0;
  double low = 0;
  double high = 0;
  // One-sided 95 % bounds, for decisions: never cut to what the quantity can be, so that they tell
  // how much is known. Infinite when nothing is.
  double one_sided_low = value - (value - low) * kOneSidedShare;
  double one_sided_high = value + (high - value) * kOneSidedShare;
};

// Every difference to the reference is paired token by token; intervals are clustered by chunk.
struct Divergence {
  Interval ppl_ratio;  // perplexity / reference perplexity
  Interval kld_mean;   // KL(reference || this), nats per token
  double kld_p99 = 0;
  double kld_max = 0;
  Interval top1_agreement;  // share of tokens with the same most likely next token, 0..1
  std::int64_t flips = 0;   // tokens where it differs
  Interval rms_delta_p;     // root mean square change of the true token's probability, 0..1
};

// Accuracy with the engine's own arithmetic.
struct EngineQuality {
  double ppl = 0;
  Divergence divergence;
};

struct EvalResult {
  double ppl = 0;
  double nll = 0;  // mean, nats per token
  std::int64_t tokens_scored = 0;
  std::string kv = {};                   // scheme of the key-value cache; empty = float32
  std::optional<Divergence> divergence;  // when a reference was given
  // The same with Arithmetic::kEngine, where both were measured.
  std::optional<EngineQuality> engine;
};

struct EvalOptions {
  std::filesystem::path checkpoint;
  std::filesystem::path text;                      // UTF-8 file
  std::optional<std::filesystem::path> reference;  // checkpoint to compare with
  // Of this checkpoint (the reference always is kFloat). Empty: kFloat, and kEngine beside it where
  // that differs and a reference is given.
  std::optional<Arithmetic> arithmetic;
  std::int64_t chunk = 512;  // tokens per chunk; each is scored on its second half
  std::int64_t chunks = 0;   // 0 = as many as the text has
  std::int64_t stride = 0;   // > 0: sliding windows of `chunk` tokens that score `stride` new ones
  // Key-value cache of `checkpoint`: none, fp8, fp8_head, int8 or int4 (the reference's is
  // float32); empty = as the checkpoint says. Scales that it does not hold are calibrated on the
  // embedded text.
  std::string kv;
  int threads = 0;  // 0 = all usable cores
};

Result<EvalResult> evaluate_text(const EvalOptions& options, Progress& progress);

struct LogitsFile {
  std::filesystem::path path;
  std::int64_t tokens = 0;  // rows
  std::int64_t vocab = 0;   // columns
};
std::string to_json(const LogitsFile& file);

// Writes float32 logits [tokens, vocab] of `ids` (one sequence from position 0) as .npy.
Result<LogitsFile> write_logits(const std::filesystem::path& checkpoint,
                                const std::filesystem::path& ids_json,
                                const std::filesystem::path& npy, int threads);

std::string to_json(const EvalResult& result);

}  // namespace quantlane
