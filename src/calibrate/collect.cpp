#include "calibrate/collect.h"

#include <algorithm>
#include <cmath>

#include "calibrate/kept_statistics.h"
#include "core/cancel.h"
#include "core/check.h"
#include "model/damaged_weight.h"

namespace quantlane {
namespace {

// Chunks in one pass: enough rows to keep the matrix products efficient.
constexpr std::int64_t kTokensPerPass = 2048;

class Collector final : public LinearObserver {
 public:
  explicit Collector(Statistics& statistics) : statistics_(statistics) {}
  void observe(const Parameter& linear, const float* x, std::int64_t tokens) override {
    statistics_.add(linear.module(), x, tokens, linear.cols);
  }

 private:
  Statistics& statistics_;
};

}  // namespace

std::int64_t head_row_count(HeadRows rows, std::int64_t tokens) {
  if (rows == HeadRows::kNone) return 0;
  return rows == HeadRows::kAll ? tokens : tokens / 4;
}

Result<void> check_finite(const Statistics& statistics, const Checkpoint& checkpoint) {
  // In the order in which the model computes.
  for (const Parameter& p : checkpoint.graph()->parameters) {
    const auto found = statistics.modules().find(p.module());
    if (!is_matrix(p.role) || found == statistics.modules().end() ||
        std::ranges::all_of(found->second.sum_squares, [](double v) { return std::isfinite(v); }))
      continue;
    return fail(blame_inputs_of(
        checkpoint, p,
        corrupt("calibrating")
            .in(checkpoint.path().string())
            .of(p.name)
            .expects("finite activations")
            .got("NaN or infinity")
            .advise("the checkpoint is broken before quantization: run quantlane inspect on it")));
  }
  return {};
}

Result<void> run_calibration_pass(Runtime& runtime, const TokenChunks& chunks,
                                  std::string_view label, HeadRows head_rows,
                                  LinearObserver& observer, ThreadPool& pool, Progress& progress,
                                  const PassPlace& place) {
  const std::int64_t per_pass = std::max<std::int64_t>(1, kTokensPerPass / chunks.chunk);
  std::vector<float> logits;
  progress.begin(label, chunks.tokens.size(), "tok");
  for (std::int64_t first = place.first; first < chunks.count(); first += per_pass) {
    QUANTLANE_TRY_VOID(check_cancel("calibrating"));
    const std::int64_t last = std::min(chunks.count(), first + per_pass);
    std::vector<KvCache> caches;
    for (std::int64_t i = first; i < last; ++i) caches.emplace_back(runtime.config(), chunks.chunk);
    std::vector<Segment> segments;
    for (std::int64_t i = first; i < last; ++i) {
      segments.push_back({.tokens = chunks[i],
                          .cache = &caches[static_cast<std::size_t>(i - first)],
                          .logits_from = chunks.chunk - head_row_count(head_rows, chunks.chunk)});
    }
    QUANTLANE_TRY_VOID(runtime.forward(segments, pool, logits, &observer));
    progress.update(static_cast<std::uint64_t>(last * chunks.chunk));
    if (place.passed) place.passed(last);
  }
  progress.end();
  return {};
}

Result<Statistics> collect_statistics(Runtime& runtime, const TokenChunks& chunks, ThreadPool& pool,
                                      Progress& progress, HeadRows head_rows,
                                      KeptStatistics* kept) {
  Statistics statistics;
  PassPlace place;
  if (kept != nullptr) {
    QUANTLANE_TRY(auto found, kept->find());
    statistics = std::move(found.statistics);
    place.first = found.chunks;
    place.passed = [&](std::int64_t count) { kept->keep(statistics, count); };
  }
  Collector collector(statistics);
  QUANTLANE_TRY_VOID(run_calibration_pass(runtime, chunks, "calibrate", head_rows, collector, pool,
                                          progress, place));
  QUANTLANE_TRY_VOID(check_finite(statistics, runtime.checkpoint()));
  return statistics;
}

}  // namespace quantlane
