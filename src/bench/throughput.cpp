#include "bench/throughput.h"

#include <algorithm>
#include <chrono>
#include <vector>

#include "core/cancel.h"
#include "core/check.h"
#include "core/rng.h"

namespace quantlane {
namespace {

using Clock = std::chrono::steady_clock;

double rate(std::int64_t tokens, Clock::time_point start) {
  return static_cast<double>(tokens) / std::chrono::duration<double>(Clock::now() - start).count();
}

std::vector<std::int32_t> random_tokens(std::int64_t count, std::int64_t vocab) {
  Rng rng(42);
  std::vector<std::int32_t> tokens(static_cast<std::size_t>(count));
  for (auto& token : tokens)
    token = static_cast<std::int32_t>(rng.below(static_cast<std::uint64_t>(vocab)));
  return tokens;
}

}  // namespace

Result<BenchResult> measure_throughput(Runtime& runtime, std::int64_t prefill, std::int64_t decode,
                                       int repeats, ThreadPool& pool, Progress& progress) {
  if (prefill < 1 || decode < 1 || repeats < 1) {
    return fail(usage_error("measuring throughput").expects("at least 1 token and 1 repeat"));
  }
  const std::int64_t context = runtime.config().context_length;
  if (context > 0 && (prefill > context || decode > context - prefill)) {
    return fail(usage_error("measuring throughput")
                    .expects("prefill and decode within " + std::to_string(context) +
                             " tokens, the context of the model")
                    .got(std::to_string(prefill) + " and " + std::to_string(decode)));
  }
  const auto tokens = random_tokens(prefill + decode, runtime.config().vocab_size);
  std::vector<double> prefill_rates;
  std::vector<double> decode_rates;
  std::vector<float> logits;
  progress.begin("speed", static_cast<std::uint64_t>(repeats), "runs");
  for (int repeat = 0; repeat < repeats; ++repeat) {
    KvCache cache(runtime.config(), prefill + decode);
    const Segment prompt{.tokens = std::span(tokens).first(static_cast<std::size_t>(prefill)),
                         .cache = &cache,
                         .logits_from = prefill - 1};
    const auto prefill_start = Clock::now();
    QUANTLANE_TRY_VOID(runtime.forward(std::span(&prompt, 1), pool, logits));
    prefill_rates.push_back(rate(prefill, prefill_start));
    const auto decode_start = Clock::now();
    for (std::int64_t i = 0; i < decode; ++i) {
      QUANTLANE_TRY_VOID(check_cancel("measuring throughput"));
      const Segment step{
          .tokens = std::span(tokens).subspan(static_cast<std::size_t>(prefill + i), 1),
          .cache = &cache,
          .logits_from = 0};
      QUANTLANE_TRY_VOID(runtime.forward(std::span(&step, 1), pool, logits));
    }
    decode_rates.push_back(rate(decode, decode_start));
    progress.update(static_cast<std::uint64_t>(repeat) + 1);
  }
  progress.end();
  return BenchResult{.prefill_tok_s = std::ranges::max(prefill_rates),
                     .decode_tok_s = std::ranges::max(decode_rates),
                     .prefill_slowest_tok_s = std::ranges::min(prefill_rates),
                     .decode_slowest_tok_s = std::ranges::min(decode_rates),
                     .peak_rss_bytes = 0,
                     .threads = pool.size()};
}

}  // namespace quantlane
