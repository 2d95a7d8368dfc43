#include "eval/score_text.h"

#include <algorithm>
#include <cmath>

#include "core/cancel.h"
#include "core/check.h"
#include "kernels/ops.h"
#include "runtime/first_overflow.h"
#include "runtime/walk_memory.h"

namespace quantlane {
namespace {

// Tokens of one pass, as long as the logits stay below kLogitBytes.
constexpr std::int64_t kTokensPerPass = 2048;
constexpr std::int64_t kLogitBytes = std::int64_t{256} << 20;

std::int64_t chunks_per_pass(const TokenChunks& chunks, const ModelConfig& config) {
  const std::int64_t row_bytes = config.vocab_size * 4;
  const std::int64_t by_logits = kLogitBytes / (chunks.chunk / 2 * row_bytes + 1);
  return std::max<std::int64_t>(1, std::min(by_logits, kTokensPerPass / chunks.chunk));
}

// Logits of the scored half of chunks [first, last): rows predict tokens chunk/2 .. chunk-1 of
// each.
Result<void> half_logits(Runtime& runtime, const TokenChunks& chunks, std::int64_t first,
                         std::int64_t last, PassShape shape, ThreadPool& pool,
                         std::vector<float>& logits) {
  const std::int64_t scored_from = chunks.chunk / 2 - 1;
  const std::int64_t piece = shape.piece > 0 ? shape.piece : chunks.chunk;
  std::vector<KvCache> caches;
  for (std::int64_t i = first; i < last; ++i) caches.emplace_back(runtime.config(), chunks.chunk);
  if (piece >= chunks.chunk) {
    std::vector<Segment> segments;
    for (std::int64_t i = first; i < last; ++i) {
      segments.push_back({.tokens = chunks[i].first(static_cast<std::size_t>(chunks.chunk - 1)),
                          .cache = &caches[static_cast<std::size_t>(i - first)],
                          .logits_from = scored_from});
    }
    return runtime.forward(segments, pool, logits);
  }
  logits.clear();
  logits.reserve(static_cast<std::size_t>((last - first) * (chunks.chunk - 1 - scored_from) *
                                          runtime.config().vocab_size));
  std::vector<float> part;
  for (std::int64_t i = first; i < last; ++i) {
    for (std::int64_t begin = 0; begin < chunks.chunk - 1; begin += piece) {
      const std::int64_t count = std::min(piece, chunks.chunk - 1 - begin);
      const Segment segment{.tokens = chunks[i].subspan(static_cast<std::size_t>(begin),
                                                        static_cast<std::size_t>(count)),
                            .cache = &caches[static_cast<std::size_t>(i - first)],
                            .logits_from = std::clamp<std::int64_t>(scored_from - begin, 0, count)};
      QUANTLANE_TRY_VOID(runtime.forward(std::span(&segment, 1), pool, part));
      logits.insert(logits.end(), part.begin(), part.end());
    }
  }
  return {};
}

// The true next token of each logit row.
std::vector<std::int32_t> targets(const TokenChunks& chunks, std::int64_t first,
                                  std::int64_t last) {
  std::vector<std::int32_t> result;
  for (std::int64_t i = first; i < last; ++i) {
    const auto half = chunks[i].subspan(static_cast<std::size_t>(chunks.chunk / 2));
    result.insert(result.end(), half.begin(), half.end());
  }
  return result;
}

struct Row {
  double nll;
  double lse;
  std::int64_t top;
};

Row score_row(const float* logits, std::int64_t vocab, std::int32_t target) {
  const double lse = kernels::log_sum_exp(logits, vocab);
  return {.nll = lse - static_cast<double>(logits[target]),
          .lse = lse,
          .top = kernels::arg_max(logits, vocab)};
}

std::vector<Row> score_rows(const std::vector<float>& logits,
                            const std::vector<std::int32_t>& target, std::int64_t vocab,
                            ThreadPool& pool) {
  std::vector<Row> rows(target.size());
  pool.parallel_for(static_cast<std::int64_t>(rows.size()), [&](std::int64_t r, int) {
    const auto index = static_cast<std::size_t>(r);
    rows[index] = score_row(logits.data() + r * vocab, vocab, target[index]);
  });
  return rows;
}

struct ReferencePass {
  std::vector<float> logits;
  std::vector<Row> rows;
};

TokenScores compare_rows(const ReferencePass* reference, const std::vector<float>& logits,
                         const std::vector<Row>& rows, std::int64_t vocab, std::int64_t first_chunk,
                         std::int64_t rows_per_chunk, ThreadPool& pool) {
  TokenScores scores;
  const std::size_t count = rows.size();
  scores.nll.resize(count);
  scores.chunk.resize(count);
  if (reference != nullptr) {
    scores.reference_nll.resize(count);
    scores.kld.resize(count);
    scores.same_top.resize(count);
  }
  pool.parallel_for(static_cast<std::int64_t>(count), [&](std::int64_t r, int) {
    const auto i = static_cast<std::size_t>(r);
    scores.nll[i] = static_cast<float>(rows[i].nll);
    scores.chunk[i] = static_cast<std::int32_t>(first_chunk + r / rows_per_chunk);
    if (reference == nullptr) return;
    const Row& base = reference->rows[i];
    scores.reference_nll[i] = static_cast<float>(base.nll);
    scores.kld[i] =
        static_cast<float>(kernels::kl_divergence(reference->logits.data() + r * vocab, base.lse,
                                                  logits.data() + r * vocab, rows[i].lse, vocab));
    scores.same_top[i] = base.top == rows[i].top ? 1 : 0;
  });
  return scores;
}

Result<void> check_vocabularies(const Runtime& reference, const Runtime& candidate) {
  if (reference.config().vocab_size == candidate.config().vocab_size) return {};
  return fail(
      invalid("comparing two checkpoints")
          .in(candidate.checkpoint().path().string())
          .expects("the reference's vocabulary of " + std::to_string(reference.config().vocab_size))
          .got(std::to_string(candidate.config().vocab_size)));
}

// `tokens`: from which the rows come.
Result<void> check_logits(const std::vector<Row>& rows, std::span<const std::int32_t> tokens,
                          Runtime& runtime, ThreadPool& pool) {
  const auto bad =
      std::ranges::find_if(rows, [](const Row& row) { return !std::isfinite(row.nll); });
  if (bad == rows.end()) return {};
  return fail(blame_activations(runtime, tokens, pool,
                                corrupt("scoring text")
                                    .in(runtime.checkpoint().path().string())
                                    .expects("finite logits")
                                    .got("NaN or infinity")
                                    .advise("quantlane inspect lists damaged tensors")));
}

}  // namespace

ScoringBytes scoring_bytes(const ModelConfig& config, const TokenChunks& chunks) {
  const std::int64_t count = std::min(chunks.count(), chunks_per_pass(chunks, config));
  const std::int64_t tokens = count * chunks.chunk;
  const std::int64_t rows = count * (chunks.chunk - chunks.chunk / 2);
  const auto logits = sizeof(float) * static_cast<std::uint64_t>(rows * config.vocab_size);
  // Rows that leave the last layer, and those normed and rounded for the head.
  const auto wanted = sizeof(float) * static_cast<std::uint64_t>(3 * rows * config.hidden_size);
  return {.pass = 2 * logits + KvCache::bytes(config, tokens) +
                  2 * sizeof(Row) * static_cast<std::uint64_t>(rows),
          .run = walk_bytes(config, tokens, tokens, 1).buffers + wanted};
}

Result<void> score_text(Runtime* reference, std::span<ScoredRun> candidates,
                        const TokenChunks& chunks, ThreadPool& pool, Progress& progress,
                        const std::function<Result<void>()>& after_pass) {
  const ModelConfig& config =
      reference != nullptr ? reference->config() : candidates[0].runtime->config();
  const std::int64_t vocab = config.vocab_size;
  const std::int64_t per_chunk = chunks.chunk - chunks.chunk / 2;
  for (const ScoredRun& candidate : candidates) {
    if (reference != nullptr)
      QUANTLANE_TRY_VOID(check_vocabularies(*reference, *candidate.runtime));
  }
  const auto wanted = [&](const ScoredRun& candidate, std::int64_t last) {
    return candidate.scores.count() < last * per_chunk;
  };
  progress.begin("evaluate", static_cast<std::uint64_t>(chunks.count() * chunks.chunk), "tok");
  const std::int64_t step = chunks_per_pass(chunks, config);
  ReferencePass base;
  std::vector<float> logits;
  for (std::int64_t first = 0; first < chunks.count(); first += step) {
    const std::int64_t last = std::min(chunks.count(), first + step);
    if (std::ranges::any_of(candidates, [&](const ScoredRun& c) { return wanted(c, last); })) {
      const std::vector<std::int32_t> target = targets(chunks, first, last);
      if (reference != nullptr) {
        QUANTLANE_TRY_VOID(half_logits(*reference, chunks, first, last, {}, pool, base.logits));
        base.rows = score_rows(base.logits, target, vocab, pool);
        QUANTLANE_TRY_VOID(check_logits(base.rows, chunks[first], *reference, pool));
      }
      for (ScoredRun& candidate : candidates) {
        QUANTLANE_TRY_VOID(check_cancel("evaluating"));
        if (!wanted(candidate, last)) continue;
        QUANTLANE_TRY_VOID(
            half_logits(*candidate.runtime, chunks, first, last, candidate.shape, pool, logits));
        const std::vector<Row> rows = score_rows(logits, target, vocab, pool);
        QUANTLANE_TRY_VOID(check_logits(rows, chunks[first], *candidate.runtime, pool));
        TokenScores added = compare_rows(reference != nullptr ? &base : nullptr, logits, rows,
                                         vocab, first, per_chunk, pool);
        // An earlier run may have stopped inside this pass (it had fewer chunks).
        added.drop_first(candidate.scores.count() - first * per_chunk);
        candidate.scores.append(added);
      }
      if (after_pass) QUANTLANE_TRY_VOID(after_pass());
    }
    progress.update(static_cast<std::uint64_t>(last * chunks.chunk));
  }
  progress.end();
  return {};
}

Result<TokenScores> score_sliding(Runtime& runtime, std::span<const std::int32_t> tokens,
                                  std::int64_t window, std::int64_t stride, ThreadPool& pool,
                                  Progress& progress) {
  if (stride < 1 || stride >= window) {
    return fail(usage_error("scoring sliding windows")
                    .expects("a stride between 1 and the window size - 1")
                    .got(std::to_string(stride)));
  }
  const auto size = static_cast<std::int64_t>(tokens.size());
  const std::int64_t vocab = runtime.config().vocab_size;
  TokenScores scores;
  std::vector<float> logits;
  progress.begin("evaluate", tokens.size(), "tok");
  for (std::int64_t scored = 1, cluster = 0; scored < size; ++cluster) {
    QUANTLANE_TRY_VOID(check_cancel("evaluating"));
    const std::int64_t end = std::min(size, scored == 1 ? window : scored + stride);
    const std::int64_t begin = std::max<std::int64_t>(0, end - window);
    KvCache cache(runtime.config(), end - begin);
    const Segment segment{.tokens = tokens.subspan(static_cast<std::size_t>(begin),
                                                   static_cast<std::size_t>(end - 1 - begin)),
                          .cache = &cache,
                          .logits_from = scored - 1 - begin};
    QUANTLANE_TRY_VOID(runtime.forward(std::span(&segment, 1), pool, logits));
    const std::vector<std::int32_t> target(tokens.begin() + scored, tokens.begin() + end);
    const std::vector<Row> rows = score_rows(logits, target, vocab, pool);
    QUANTLANE_TRY_VOID(check_logits(rows, segment.tokens, runtime, pool));
    scores.append(compare_rows(nullptr, logits, rows, vocab, cluster, end - scored, pool));
    scored = end;
    progress.update(static_cast<std::uint64_t>(end));
  }
  progress.end();
  return scores;
}

}  // namespace quantlane
