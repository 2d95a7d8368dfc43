// Scores of single tokens under a model, alone or against the reference, and their summary.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "quantlane/evaluate.h"
#include "quantlane/result.h"

namespace quantlane {

// One entry per scored token, in text order. The paired vectors are empty without a reference.
struct TokenScores {
  std::vector<float> nll;           // nats, of the true next token
  std::vector<std::int32_t> chunk;  // which chunk it is in: the cluster of all intervals
  std::vector<float> reference_nll;
  std::vector<float> kld;  // KL(reference || model), nats
  std::vector<std::uint8_t> same_top;

  [[nodiscard]] std::int64_t count() const { return static_cast<std::int64_t>(nll.size()); }
  [[nodiscard]] bool paired() const { return !nll.empty() && kld.size() == nll.size(); }
  void append(const TokenScores& other);
  // Removes the first `count` entries, at most all; none when `count` is negative.
  void drop_first(std::int64_t count);
  // Removes all but the first `count` entries.
  void keep_first(std::int64_t count);

  // For resuming: saved whole after each pass, tagged with `key` (what was scored, under what).
  Result<void> save(const std::filesystem::path& path, const std::string& key) const;
  // Empty scores when the file is absent, broken or tagged otherwise.
  static TokenScores load(const std::filesystem::path& path, const std::string& key);
};

// Perplexity, and with a reference all paired figures with 95 % intervals clustered by chunk.
EvalResult summarize(const TokenScores& scores);
// The same of paired scores that were made with Arithmetic::kEngine.
EngineQuality summarize_engine(const TokenScores& scores);

}  // namespace quantlane
