// Runs text through the reference and any number of candidates, side by side, and scores every
// token of the second half of each chunk. The reference runs once per pass whatever the number of
// candidates.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "calibrate/dataset.h"
#include "core/threads.h"
#include "eval/text_scores.h"
#include "quantlane/progress.h"
#include "quantlane/result.h"
#include "runtime/runtime.h"

namespace quantlane {

// How chunks are fed. `piece`: tokens per forward pass of one chunk (0 = the whole chunk at once);
// the noise floor feeds the same chunk in pieces.
struct PassShape {
  std::int64_t piece = 0;
};

// One model whose scores are wanted.
struct ScoredRun {
  Runtime* runtime = nullptr;
  TokenScores scores;  // grows; chunks already present (from a resumed run) are skipped
  PassShape shape;
};

// What score_text() takes beside weights, bytes: whatever runs, and for each run that is loaded.
struct ScoringBytes {
  std::uint64_t pass = 0;
  std::uint64_t run = 0;
};
ScoringBytes scoring_bytes(const ModelConfig& config, const TokenChunks& chunks);

// First scored token of a chunk of `chunk` tokens is chunk / 2.
// `after_pass` is called when all candidates have the scores of the chunks so far (to save them).
Result<void> score_text(Runtime* reference, std::span<ScoredRun> candidates,
                        const TokenChunks& chunks, ThreadPool& pool, Progress& progress,
                        const std::function<Result<void>()>& after_pass);

// Sliding windows of `window` tokens over one token stream; each scores its last `stride` tokens
// (the first scores all but its first token). Unpaired.
Result<TokenScores> score_sliding(Runtime& runtime, std::span<const std::int32_t> tokens,
                                  std::int64_t window, std::int64_t stride, ThreadPool& pool,
                                  Progress& progress);

}  // namespace quantlane
