#include "quantlane/doctor.h"

#include <algorithm>
#include <chrono>

#include "core/cpu.h"
#include "core/json.h"
#include "core/threads.h"
#include "kernels/gemm.h"
#include "model/graph.h"
#include "quantize/lane.h"
#include "quantlane/version.h"

namespace quantlane {
namespace {

using Clock = std::chrono::steady_clock;
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
  for (int pass = 0; pass < 4; ++pass) {
    const auto start = Clock::now();
    pool.parallel_for(slices, [&](std::int64_t slice, int) {
      const auto s = static_cast<std::size_t>(slice);
      const std::size_t begin = kWords / static_cast<std::size_t>(slices) * s;
      const std::size_t end = kWords / static_cast<std::size_t>(slices) * (s + 1);
      std::uint64_t sum = 0;
      for (std::size_t i = begin; i < end; ++i) sum += data[i];
      sums[s * 8] = sum;  // a cache line apart
    });
    best = std::max(best, static_cast<double>(kWords * 8) / seconds_since(start) / 1e9);
  }
  return sums[0] == 0 ? 0 : best;
}

double measure_product(ThreadPool& pool) {
  constexpr std::int64_t kSize = 1024;
  const std::vector<float> x(kSize * kSize, 0.5F);
  const std::vector<float> w(kSize * kSize, 0.25F);
  std::vector<float> y(kSize * kSize);
  double best = 0;
  for (int pass = 0; pass < 4; ++pass) {
    const auto start = Clock::now();
    kernels::gemm(x.data(), kSize, kSize, {.f32 = w.data()}, kSize, y.data(), pool);
    best = std::max(best, 2.0 * kSize * kSize * kSize / seconds_since(start) / 1e9);
  }
  return best;
}

}  // namespace

std::string environment_error() { return isa_override_error(); }

DoctorResult examine_machine(int threads) {
  ThreadPool pool(threads);
  const CpuInfo& info = cpu_info();
  DoctorResult result;
  result.version = version();
  result.cpu = info.model;
  result.cores = info.cores;
  result.memory_bytes = info.memory_bytes;
  result.available_bytes = info.available_bytes;
  result.isa = isa_name(active_isa());
  result.features = {{"avx2", info.best >= Isa::kAvx2},
                     {"avx512", info.best >= Isa::kAvx512},
                     {"avx512_vnni", info.best >= Isa::kAvx512Vnni},
                     {"avx_vnni", info.avx_vnni},
                     {"avx512_bf16", info.avx512_bf16},
                     {"avx512_vbmi", info.avx512_vbmi},
                     {"amx_int8", info.amx_int8},
                     {"amx_bf16", info.amx_bf16}};
  result.bandwidth_gb_s = measure_bandwidth(pool);
  result.f32_gflops = measure_product(pool);
  for (const Architecture* architecture : architectures())
    result.architectures.emplace_back(architecture->name);
  result.lanes = lane_names();
  if (active_isa() == Isa::kRef)
    result.problems.emplace_back("no AVX2: everything runs, many times slower");
  if (!isa_override_error().empty()) result.problems.push_back(isa_override_error());
  return result;
}

std::string to_json(const DoctorResult& result) {
  const auto list = [](const std::vector<std::string>& items) {
    Json array = Json::array();
    for (const std::string& item : items) array.push(item);
    return array;
  };
  Json features = Json(Json::Object{});
  for (const auto& [name, present] : result.features) features.set(name, present);
  return Json::object({{"version", result.version},
                       {"cpu", result.cpu},
                       {"cores", result.cores},
                       {"memory_bytes", result.memory_bytes},
                       {"available_bytes", result.available_bytes},
                       {"isa", result.isa},
                       {"features", std::move(features)},
                       {"bandwidth_gb_s", result.bandwidth_gb_s},
                       {"f32_gflops", result.f32_gflops},
                       {"architectures", list(result.architectures)},
                       {"lanes", list(result.lanes)},
                       {"problems", list(result.problems)}})
      .dump(2);
}

}  // namespace quantlane
