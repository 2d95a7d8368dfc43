// A few rows that stand for all that entered a Linear: what scale searches measure output errors
// with.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "calibrate/dataset.h"
#include "calibrate/statistics.h"
#include "core/threads.h"
#include "quantlane/progress.h"
#include "quantlane/result.h"
#include "runtime/runtime.h"

namespace quantlane {

struct InputSamples {
  std::int64_t cols = 0;
  InputStatistics statistics;
  std::vector<double> sum_abs;  // [cols]
  std::vector<float> rows;      // [n, cols]: every so-manieth row as it was, about kSampleRows
  // [kSketchRows, cols]: every row added to or subtracted from one of these, both at random, so
  // that sketch^T sketch is the second moment sum x x^T in expectation (a count sketch: Charikar et
  // al. 2002).
  std::vector<float> sketch;
  [[nodiscard]] std::int64_t row_count() const {
    return cols == 0 ? 0 : static_cast<std::int64_t>(rows.size()) / cols;
  }
};
inline constexpr std::int64_t kSampleRows = 256;
inline constexpr std::int64_t kSketchRows = 256;

// By module; Linears that read the same rows share one.
using ModelSamples = std::map<std::string, std::shared_ptr<const InputSamples>, std::less<>>;

// Layers [first, last) of one pass over all chunks; the head and the embedding have none. The same
// rows and signs in every run. `statistics` of all Linears are added where not null. kCorrupt when
// activations are not finite.
Result<ModelSamples> collect_samples(Runtime& runtime, const TokenChunks& chunks,
                                     std::int64_t first, std::int64_t last, ThreadPool& pool,
                                     Progress& progress, Statistics* statistics);

// Bytes of the samples of one layer.
std::uint64_t sample_bytes(const Graph& graph, std::int64_t layer);

}  // namespace quantlane
