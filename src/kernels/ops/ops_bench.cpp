// Values per second of the row kernels on a row of 49152 logits.
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "core/rng.h"
#include "kernels/ops/ops_table.h"

namespace quantlane::kernels {
namespace {

constexpr std::int64_t kVocabulary = 49152;

struct Rows {
  Rows() : p(kVocabulary), q(kVocabulary), out(kVocabulary) {
    Rng rng(1);
    for (std::size_t i = 0; i < p.size(); ++i) {
      p[i] = static_cast<float>(4 * rng.normal());
      q[i] = p[i] + static_cast<float>(0.1 * rng.normal());
    }
  }
  std::vector<float> p;
  std::vector<float> q;
  std::vector<float> out;
};

template <class Body>
void add(const OpsRow& row, const std::string& what, const Body& body) {
  const std::string name = what + "/" + std::string(isa_name(row.isa));
  benchmark::RegisterBenchmark(name.c_str(), [&row, body](benchmark::State& state) {
    Rows rows;
    for (auto _ : state) body(*row.kernels, rows);
    state.SetItemsProcessed(state.iterations() * kVocabulary);
  });
}

const bool kRegistered = [] {
  for (const OpsRow& row : ops_rows()) {
    if (row.isa > cpu_info().best) continue;
    add(row, "log_sum_exp", [](const OpsKernels& kernels, Rows& rows) {
      benchmark::DoNotOptimize(kernels.log_sum_exp(rows.p.data(), kVocabulary));
    });
    add(row, "kl_divergence", [](const OpsKernels& kernels, Rows& rows) {
      benchmark::DoNotOptimize(
          kernels.kl_divergence(rows.p.data(), 18.8, rows.q.data(), 18.8, kVocabulary));
    });
    add(row, "arg_max", [](const OpsKernels& kernels, Rows& rows) {
      benchmark::DoNotOptimize(kernels.arg_max(rows.p.data(), kVocabulary));
    });
    add(row, "exp", [](const OpsKernels& kernels, Rows& rows) {
      kernels.exp(rows.p.data(), kVocabulary, rows.out.data());
      benchmark::ClobberMemory();
    });
    add(row, "rms_norm", [](const OpsKernels& kernels, Rows& rows) {
      kernels.rms_norm(rows.p.data(), kVocabulary, rows.q.data(), 1e-5, rows.out.data());
      benchmark::ClobberMemory();
    });
  }
  return true;
}();

}  // namespace
}  // namespace quantlane::kernels
