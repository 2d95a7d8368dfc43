// FLOP/s of a causal prefill and bytes/s of keys and values of a decode, one thread each.
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "core/rng.h"
#include "kernels/attention/attention_table.h"

namespace quantlane::kernels {
namespace {

std::vector<float> random_values(std::int64_t count) {
  Rng rng(1);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = static_cast<float>(rng.normal());
  return values;
}

void attend(benchmark::State& state, const AttentionRow& row, const AttentionShape& shape) {
  const auto q = random_values(shape.tokens * shape.heads * shape.head_dim);
  const auto keys = random_values((shape.start + shape.tokens) * shape.kv_heads * shape.head_dim);
  std::vector<float> out(q.size());
  ThreadPool pool(1);
  for (auto _ : state) {
    row.run(shape, q.data(), keys.data(), keys.data(), out.data(), pool);
    benchmark::ClobberMemory();
  }
  const auto rounds = static_cast<double>(state.iterations());
  const std::int64_t pairs = shape.tokens * shape.start + shape.tokens * (shape.tokens + 1) / 2;
  state.counters["FLOP"] =
      benchmark::Counter(4.0 * static_cast<double>(pairs * shape.heads * shape.head_dim) * rounds,
                         benchmark::Counter::kIsRate);
  state.counters["bytes_of_kv"] = benchmark::Counter(
      8.0 * static_cast<double>(keys.size()) * rounds, benchmark::Counter::kIsRate);
}

AttentionShape shape_of(std::int64_t tokens, std::int64_t start, std::int64_t heads,
                        std::int64_t kv_heads, std::int64_t head_dim) {
  return {.tokens = tokens,
          .start = start,
          .heads = heads,
          .kv_heads = kv_heads,
          .head_dim = head_dim,
          .window = 0,
          .scale = 0.1F,
          .softcap = 0};
}

const bool kRegistered = [] {
  for (const AttentionRow& row : attention_rows()) {
    if (row.isa > cpu_info().best || row.isa == Isa::kRef) continue;
    for (const AttentionShape& shape :
         {shape_of(512, 0, 9, 3, 64), shape_of(2048, 0, 9, 3, 64), shape_of(512, 1024, 32, 8, 128),
          shape_of(1, 2047, 9, 3, 64), shape_of(1, 8191, 32, 8, 128)}) {
      const std::string name =
          "attention/" + std::string(isa_name(row.isa)) + "/T:" + std::to_string(shape.tokens) +
          "/start:" + std::to_string(shape.start) + "/heads:" + std::to_string(shape.heads) +
          "/dim:" + std::to_string(shape.head_dim);
      benchmark::RegisterBenchmark(
          name.c_str(), [&row, shape](benchmark::State& state) { attend(state, row, shape); });
    }
  }
  return true;
}();

}  // namespace
}  // namespace quantlane::kernels
