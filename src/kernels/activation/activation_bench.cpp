// Values per second of activation rounding: 256 tokens of 4096, in place.
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "core/rng.h"
#include "kernels/activation/activation_table.h"

namespace quantlane::kernels {
namespace {

constexpr std::int64_t kCols = 4096;
constexpr std::int64_t kTokens = 256;

void round_tokens(benchmark::State& state, const ActivationRow& row, ValueType type) {
  Rng rng(1);
  std::vector<float> values(static_cast<std::size_t>(kCols * kTokens));
  for (float& value : values) value = static_cast<float>(rng.normal());
  const ActivationScheme scheme = {.type = type};
  for (auto _ : state) {
    round_activations_with(row, scheme, values.data(), kTokens, kCols);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * kCols * kTokens);
}

const bool kRegistered = [] {
  for (const ActivationRow& row : activation_rows()) {
    if (row.isa > cpu_info().best) continue;
    for (const ValueType type : {ValueType::kInt, ValueType::kFloat}) {
      const std::string name =
          std::string(type == ValueType::kInt ? "round_int8/" : "round_e4m3/") +
          std::string(isa_name(row.isa));
      benchmark::RegisterBenchmark(
          name.c_str(), [&row, type](benchmark::State& state) { round_tokens(state, row, type); });
    }
  }
  return true;
}();

}  // namespace
}  // namespace quantlane::kernels
