// Second moments between the inputs of each Linear: what error feedback needs beyond importances.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "calibrate/dataset.h"
#include "core/threads.h"
#include "quantlane/progress.h"
#include "quantlane/result.h"
#include "runtime/runtime.h"

namespace quantlane {

// H = X^T X of the rows X [tokens, cols] that entered a Linear.
struct Hessian {
  std::int64_t cols = 0;
  std::int64_t tokens = 0;
  std::vector<float> sums;  // [cols, cols], symmetric
};

// By module; Linears that read the same rows share one.
using Hessians = std::map<std::string, std::shared_ptr<const Hessian>, std::less<>>;

// Layers [first, last) of one pass over all chunks; the head and the embedding have none. Memory:
// hessian_bytes() of those layers. kCorrupt when activations are not finite.
Result<Hessians> collect_hessians(Runtime& runtime, const TokenChunks& chunks, std::int64_t first,
                                  std::int64_t last, ThreadPool& pool, Progress& progress);

// Bytes of the Hessians of one layer.
std::uint64_t hessian_bytes(const Graph& graph, std::int64_t layer);

}  // namespace quantlane
