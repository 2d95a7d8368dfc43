// Bytes of bf16 read per second by the row encoders: rows of 4096, in total more than the caches.
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "core/half.h"
#include "core/rng.h"
#include "kernels/encode/encode_table.h"

namespace quantlane::kernels {
namespace {

constexpr std::int64_t kCols = 4096;
constexpr std::int64_t kRowCount = 4096;

void encode(benchmark::State& state, const EncodeKernels& kernels, bool int8) {
  Rng rng(1);
  std::vector<std::uint16_t> w(static_cast<std::size_t>(kCols * kRowCount));
  for (auto& value : w) value = f32_to_bf16(static_cast<float>(rng.uniform() - 0.5));
  std::vector<std::int8_t> codes(w.size());
  for (auto _ : state) {
    for (std::int64_t r = 0; r < kRowCount; ++r) {
      const std::uint16_t* row = w.data() + r * kCols;
      std::int8_t* to = codes.data() + r * kCols;
      benchmark::DoNotOptimize(int8 ? encode_int8_with(kernels, row, kCols, to)
                                    : encode_e4m3_with(kernels, row, kCols, to));
    }
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * kCols * kRowCount * 2);
}

const bool kRegistered = [] {
  for (const EncodeRow& row : encode_rows()) {
    if (row.isa > cpu_info().best) continue;
    for (const bool int8 : {true, false}) {
      const std::string name =
          std::string(int8 ? "encode_int8/" : "encode_e4m3/") + std::string(isa_name(row.isa));
      benchmark::RegisterBenchmark(name.c_str(), [&row, int8](benchmark::State& state) {
        encode(state, *row.kernels, int8);
      });
    }
  }
  return true;
}();

}  // namespace
}  // namespace quantlane::kernels
