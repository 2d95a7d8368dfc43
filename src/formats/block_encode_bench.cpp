// Weights per second of every block encoder, with importance, on rows of 4096.
#include <cmath>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "core/rng.h"
#include "formats/block_format.h"

namespace quantlane {
namespace {

void encode_rows(benchmark::State& state, const BlockFormat* format) {
  constexpr std::size_t kCols = 4096;
  Rng rng(1);
  std::vector<float> values(kCols);
  std::vector<float> importance(kCols);
  for (float& value : values) value = static_cast<float>(0.02 * rng.normal());
  for (float& value : importance) value = static_cast<float>(std::exp(rng.normal()));
  std::vector<std::byte> blocks(static_cast<std::size_t>(format->row_bytes(kCols)));
  for (auto _ : state) {
    format->encode(values, importance, blocks.data());
    benchmark::DoNotOptimize(blocks.data());
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kCols));
}

const bool kRegistered = [] {
  for (const BlockFormat* format : block_formats()) {
    if (format->encode == nullptr) continue;
    benchmark::RegisterBenchmark(("encode/" + std::string(format->name)).c_str(), encode_rows,
                                 format);
  }
  return true;
}();

}  // namespace
}  // namespace quantlane
