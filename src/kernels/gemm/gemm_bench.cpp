// FLOP/s of the tiled product and bytes/s of the dot path, per row of the table, one thread each.
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "core/half.h"
#include "core/rng.h"
#include "kernels/gemm/gemm_table.h"

namespace quantlane::kernels {
namespace {

struct Shape {
  std::int64_t tokens, k, n;
};

void multiply(benchmark::State& state, const GemmKernels& kernels, const Shape& shape) {
  Rng rng(1);
  std::vector<float> x(static_cast<std::size_t>(shape.tokens * shape.k));
  std::vector<std::uint16_t> w(static_cast<std::size_t>(shape.n * shape.k));
  for (float& value : x) value = static_cast<float>(rng.uniform());
  for (auto& value : w) value = f32_to_bf16(static_cast<float>(rng.uniform()));
  std::vector<float> y(static_cast<std::size_t>(shape.tokens * shape.n));
  RowSource source;
  source.bf16 = w.data();
  ThreadPool pool(1);
  for (auto _ : state) {
    gemm_with(kernels, x.data(), shape.tokens, shape.k, one_part(source, shape.n, y.data()), pool);
    benchmark::ClobberMemory();
  }
  const auto rounds = static_cast<double>(state.iterations());
  const auto products = static_cast<double>(shape.tokens * shape.k * shape.n);
  state.counters["FLOP"] = benchmark::Counter(2 * products * rounds, benchmark::Counter::kIsRate);
  state.counters["bytes_of_w"] =
      benchmark::Counter(2 * static_cast<double>(shape.k * shape.n) * rounds,
                         benchmark::Counter::kIsRate, benchmark::Counter::kIs1024);
}

// The Linears of a 135 M and of an 8 B model: prefill, a batch of decodes, one decode.
const Shape kShapes[] = {{2048, 576, 1536}, {512, 1536, 576}, {512, 576, 49152},
                         {512, 4096, 4096}, {8, 576, 1536},   {32, 4096, 4096},
                         {1, 576, 1536},    {1, 4096, 16384}, {4, 4096, 16384}};

void register_rows(const char* name, std::span<const GemmRow> rows) {
  for (const GemmRow& row : rows) {
    if (row.isa > cpu_info().best || row.isa == Isa::kRef) continue;
    for (const Shape& shape : kShapes) {
      const std::string full = std::string(name) + '/' + std::string(isa_name(row.isa)) +
                               "/T:" + std::to_string(shape.tokens) +
                               "/K:" + std::to_string(shape.k) + "/N:" + std::to_string(shape.n);
      benchmark::RegisterBenchmark(full.c_str(), [&row, shape](benchmark::State& state) {
        multiply(state, *row.kernels, shape);
      });
    }
  }
}

const bool kRegistered = [] {
  register_rows("gemm", gemm_rows());
  register_rows("gemm_rounded", rounded_gemm_rows());
  return true;
}();

}  // namespace
}  // namespace quantlane::kernels
