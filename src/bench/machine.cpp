#include "bench/machine.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

#include "kernels/gemm.h"

namespace quantlane {
namespace {

using Clock = std::chrono::steady_clock;
constexpr int kPasses = 4;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Best of a few passes that sum 256 MiB, beyond any cache of interest.
double measure_bandwidth(ThreadPool& pool) {
  constexpr std::size_t kWords = std::size_t{32} << 20;
  const std::vector<std::uint64_t> data(kWords, 1);
  const std::int64_t slices = pool.size() * 8;
  std::vector<std::uint64_t> sums(static_cast<std::size_t>(slices) * 8);
  double best = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    const auto start = Clock::now();
    pool.parallel_for(slices, [&](std::int64_t slice, int) {
      const auto s = static_cast<std::size_t>(slice);
      const std::size_t begin = kWords / static_cast<std::size_t>(slices) * s;
      const std::size_t end = kWords / static_cast<std::size_t>(slices) * (s + 1);
      std::uint64_t sum = 0;
      for (std::size_t i = begin; i < end; ++i) sum += data[i];
      sums[s * 8] = sum;  // a cache line apart
    });
    best = std::max(best, static_cast<double>(kWords * 8) / seconds_since(start));
  }
  return sums[0] == 0 ? 0 : best;
}

double measure_product(ThreadPool& pool) {
  constexpr std::int64_t kSize = 1024;
  const std::vector<float> x(kSize * kSize, 0.5F);
  const std::vector<float> w(kSize * kSize, 0.25F);
  std::vector<float> y(kSize * kSize);
  double best = 0;
  for (int pass = 0; pass < kPasses; ++pass) {
    const auto start = Clock::now();
    kernels::gemm(x.data(), kSize, kSize, {.f32 = w.data()}, kSize, y.data(), pool);
    best = std::max(best, 2.0 * kSize * kSize * kSize / seconds_since(start));
  }
  return best;
}

}  // namespace

MachineRates measure_machine(ThreadPool& pool) {
  return {.bandwidth = measure_bandwidth(pool), .f32_flops = measure_product(pool)};
}

}  // namespace quantlane
