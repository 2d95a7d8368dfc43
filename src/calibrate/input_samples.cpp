#include "calibrate/input_samples.h"

#include <algorithm>
#include <cmath>

#include "calibrate/collect.h"
#include "core/check.h"
#include "core/rng.h"

namespace quantlane {
namespace {

class Sampler final : public LinearObserver {
 public:
  Sampler(std::int64_t first, std::int64_t last, std::int64_t tokens, Statistics* statistics)
      : first_(first),
        last_(last),
        stride_((tokens + kSampleRows - 1) / kSampleRows),
        statistics_(statistics) {}

  void observe(const Parameter& linear, const float* x, std::int64_t tokens) override {
    if (statistics_ != nullptr) statistics_->add(linear.module(), x, tokens, linear.cols);
    if (!is_linear(linear.role) || linear.layer < first_ || linear.layer >= last_) return;
    // One after another, Linears that share an input see the same rows.
    const bool same = x == rows_ && linear.layer == layer_ && linear.cols == latest_->cols;
    auto& samples = samples_[std::string(linear.module())];
    if (same && (samples == nullptr || samples == latest_)) {
      samples = latest_;
      return;
    }
    if (samples == nullptr) {
      samples = std::make_shared<InputSamples>();
      const auto cols = static_cast<std::size_t>(linear.cols);
      samples->cols = linear.cols;
      samples->statistics.sum_squares.resize(cols);
      samples->statistics.absmax.resize(cols);
      samples->sum_abs.resize(cols);
      samples->sketch.resize(static_cast<std::size_t>(kSketchRows) * cols);
    }
    add(*samples, x, tokens);
    rows_ = x;
    layer_ = linear.layer;
    latest_ = samples;
  }

  [[nodiscard]] ModelSamples take() {
    ModelSamples result;
    for (auto& [module, samples] : samples_) result.emplace(module, std::move(samples));
    return result;
  }

 private:
  void add(InputSamples& samples, const float* x, std::int64_t tokens) {
    const auto cols = static_cast<std::size_t>(samples.cols);
    InputStatistics& statistics = samples.statistics;
    for (std::int64_t t = 0; t < tokens; ++t) {
      const float* row = x + t * samples.cols;
      const std::int64_t index = statistics.tokens++;
      if (index % stride_ == 0) samples.rows.insert(samples.rows.end(), row, row + cols);
      const std::uint64_t random = Rng(static_cast<std::uint64_t>(index)).next();
      const float sign = (random & 1) != 0 ? 1.0F : -1.0F;
      float* sketch = samples.sketch.data() + (random >> 1) % kSketchRows * cols;
      for (std::size_t c = 0; c < cols; ++c) {
        const float size = std::abs(row[c]);
        statistics.sum_squares[c] += static_cast<double>(size) * static_cast<double>(size);
        statistics.absmax[c] = std::max(statistics.absmax[c], size);
        samples.sum_abs[c] += static_cast<double>(size);
        sketch[c] += sign * row[c];
      }
    }
  }

  std::int64_t first_;
  std::int64_t last_;
  std::int64_t stride_;
  Statistics* statistics_;
  std::map<std::string, std::shared_ptr<InputSamples>, std::less<>> samples_;
  // The input looked at last.
  const float* rows_ = nullptr;
  std::int64_t layer_ = -1;
  std::shared_ptr<InputSamples> latest_;
};

}  // namespace

Result<ModelSamples> collect_samples(Runtime& runtime, const TokenChunks& chunks,
                                     std::int64_t first, std::int64_t last, ThreadPool& pool,
                                     Progress& progress, Statistics* statistics) {
  Sampler sampler(first, last, static_cast<std::int64_t>(chunks.tokens.size()), statistics);
  const HeadRows head = statistics == nullptr ? HeadRows::kNone : HeadRows::kLastQuarter;
  QUANTLANE_TRY_VOID(
      run_calibration_pass(runtime, chunks, "calibrate", head, sampler, pool, progress));
  ModelSamples samples = sampler.take();
  Statistics seen;
  for (const auto& [module, input] : samples) seen.set(module, input->statistics);
  QUANTLANE_TRY_VOID(check_finite(seen, runtime.checkpoint()));
  if (statistics != nullptr) QUANTLANE_TRY_VOID(check_finite(*statistics, runtime.checkpoint()));
  return samples;
}

std::uint64_t sample_bytes(const Graph& graph, std::int64_t layer) {
  // Query, key and value share their input, as do gate and up.
  constexpr Role kFirstReaders[] = {Role::kQuery, Role::kAttentionOutput, Role::kGate, Role::kDown};
  std::uint64_t bytes = 0;
  for (const Parameter& p : graph.parameters) {
    if (p.layer != layer || std::ranges::find(kFirstReaders, p.role) == std::end(kFirstReaders))
      continue;
    bytes += static_cast<std::uint64_t>(p.cols * (kSampleRows + kSketchRows)) * sizeof(float);
  }
  return bytes;
}

}  // namespace quantlane
