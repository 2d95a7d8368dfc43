#include "quantlane/benchmark.h"

#include "bench/throughput.h"
#include "core/check.h"
#include "core/json.h"
#include "core/process_memory.h"

namespace quantlane {

Result<BenchResult> run_benchmark(const BenchOptions& options, Progress& progress) {
  ThreadPool pool(options.threads);
  reset_peak_rss();
  QUANTLANE_TRY(auto checkpoint, Checkpoint::open(options.checkpoint));
  QUANTLANE_TRY(const auto runtime, Runtime::load(std::move(checkpoint)));
  QUANTLANE_TRY(BenchResult result, measure_throughput(*runtime, options.prefill, options.decode,
                                                       options.repeats, pool, progress));
  result.peak_rss_bytes = peak_rss_bytes();
  return result;
}

std::string to_json(const BenchResult& result) {
  return Json::object({{"prefill_tok_s", result.prefill_tok_s},
                       {"decode_tok_s", result.decode_tok_s},
                       {"prefill_slowest_tok_s", result.prefill_slowest_tok_s},
                       {"decode_slowest_tok_s", result.decode_slowest_tok_s},
                       {"peak_rss_bytes", result.peak_rss_bytes},
                       {"threads", result.threads}})
      .dump(2);
}

}  // namespace quantlane
