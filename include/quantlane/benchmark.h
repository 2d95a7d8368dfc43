// Measures a checkpoint's speed and memory on this machine.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>

#include "quantlane/progress.h"
#include "quantlane/result.h"

namespace quantlane {

struct BenchOptions {
  std::filesystem::path checkpoint;
  std::int64_t prefill = 512;  // tokens of the prompt
  std::int64_t decode = 64;    // tokens generated after it
  int threads = 0;             // 0 = all usable cores
  int repeats = 3;             // the best of them counts
};

struct BenchResult {
  double prefill_tok_s = 0;  // of the fastest run
  double decode_tok_s = 0;
  double prefill_slowest_tok_s = 0;  // far below the fastest where other work was running
  double decode_slowest_tok_s = 0;
  std::uint64_t peak_rss_bytes = 0;  // of the process while loading and running
  int threads = 0;
};

Result<BenchResult> run_benchmark(const BenchOptions& options, Progress& progress);
std::string to_json(const BenchResult& result);

}  // namespace quantlane
