#include "calibrate/hessian.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "core/cancel.h"
#include "core/check.h"
#include "kernels/gemm.h"

namespace quantlane {
namespace {

// Chunks in one pass: enough rows to keep the products efficient.
constexpr std::int64_t kTokensPerPass = 2048;

class Collector final : public LinearObserver {
 public:
  Collector(std::int64_t first, std::int64_t last, ThreadPool& pool)
      : first_(first), last_(last), pool_(pool) {}

  void observe(const Parameter& linear, const float* x, std::int64_t tokens) override {
    if (!is_linear(linear.role) || linear.layer < first_ || linear.layer >= last_) return;
    // One after another, Linears that share an input see the same rows.
    const bool same = x == rows_ && linear.layer == layer_ && linear.cols == latest_->cols;
    auto& hessian = hessians_[std::string(linear.module())];
    if (same && (hessian == nullptr || hessian == latest_)) {
      hessian = latest_;
      return;
    }
    if (hessian == nullptr) {
      hessian = std::make_shared<Hessian>();
      hessian->cols = linear.cols;
      hessian->sums.assign(static_cast<std::size_t>(linear.cols * linear.cols), 0.0F);
    }
    add(*hessian, x, tokens);
    rows_ = x;
    layer_ = linear.layer;
    latest_ = hessian;
  }

  [[nodiscard]] Hessians take() {
    Hessians result;
    for (auto& [module, hessian] : hessians_) result.emplace(module, std::move(hessian));
    return result;
  }

 private:
  void add(Hessian& hessian, const float* x, std::int64_t tokens) {
    const std::int64_t cols = hessian.cols;
    columns_.resize(static_cast<std::size_t>(cols * tokens));
    product_.resize(hessian.sums.size());
    for (std::int64_t t = 0; t < tokens; ++t) {
      for (std::int64_t c = 0; c < cols; ++c) {
        columns_[static_cast<std::size_t>(c * tokens + t)] = x[t * cols + c];
      }
    }
    kernels::gemm(columns_.data(), cols, tokens, {.f32 = columns_.data()}, cols, product_.data(),
                  pool_);
    for (std::size_t i = 0; i < product_.size(); ++i) hessian.sums[i] += product_[i];
    hessian.tokens += tokens;
  }

  std::int64_t first_;
  std::int64_t last_;
  ThreadPool& pool_;
  std::map<std::string, std::shared_ptr<Hessian>, std::less<>> hessians_;
  std::vector<float> columns_;  // X^T
  std::vector<float> product_;
  // The input looked at last.
  const float* rows_ = nullptr;
  std::int64_t layer_ = -1;
  std::shared_ptr<Hessian> latest_;
};

Result<void> check_finite(const Hessians& hessians, const Checkpoint& checkpoint) {
  for (const auto& [module, hessian] : hessians) {
    if (std::ranges::all_of(hessian->sums, [](float v) { return std::isfinite(v); })) continue;
    return fail(
        corrupt("calibrating")
            .in(checkpoint.path().string())
            .of(module)
            .expects("finite activations")
            .got("NaN or infinity")
            .advise("the checkpoint is broken before quantization: run quantlane inspect on it"));
  }
  return {};
}

}  // namespace

Result<Hessians> collect_hessians(Runtime& runtime, const TokenChunks& chunks, std::int64_t first,
                                  std::int64_t last, ThreadPool& pool, Progress& progress) {
  Collector collector(first, last, pool);
  const std::int64_t per_pass = std::max<std::int64_t>(1, kTokensPerPass / chunks.chunk);
  std::vector<float> logits;
  progress.begin("error feedback", chunks.tokens.size(), "tok");
  for (std::int64_t begin = 0; begin < chunks.count(); begin += per_pass) {
    QUANTLANE_TRY_VOID(check_cancel("calibrating"));
    const std::int64_t end = std::min(chunks.count(), begin + per_pass);
    std::vector<KvCache> caches;
    for (std::int64_t i = begin; i < end; ++i) caches.emplace_back(runtime.config(), chunks.chunk);
    std::vector<Segment> segments;
    for (std::int64_t i = begin; i < end; ++i) {
      segments.push_back({.tokens = chunks[i],
                          .cache = &caches[static_cast<std::size_t>(i - begin)],
                          .logits_from = chunks.chunk});
    }
    QUANTLANE_TRY_VOID(runtime.forward(segments, pool, logits, &collector));
    progress.update(static_cast<std::uint64_t>(end * chunks.chunk));
  }
  progress.end();
  Hessians hessians = collector.take();
  QUANTLANE_TRY_VOID(check_finite(hessians, runtime.checkpoint()));
  return hessians;
}

std::uint64_t hessian_bytes(const Graph& graph, std::int64_t layer) {
  // Query, key and value share their input, as do gate and up.
  constexpr Role kFirstReaders[] = {Role::kQuery, Role::kAttentionOutput, Role::kGate, Role::kDown};
  std::uint64_t bytes = 0;
  for (const Role role : kFirstReaders) {
    if (const Parameter* p = graph.find(role, layer))
      bytes += static_cast<std::uint64_t>(p->cols * p->cols) * sizeof(float);
  }
  return bytes;
}

}  // namespace quantlane
