#include "quantlane/doctor.h"

#include "api/json_lists.h"
#include "bench/machine.h"
#include "core/cpu.h"
#include "core/json.h"
#include "core/threads.h"
#include "model/graph.h"
#include "quantize/lanes/lane.h"
#include "quantlane/version.h"

namespace quantlane {
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
  const MachineRates rates = measure_machine(pool);
  result.bandwidth_gb_s = rates.bandwidth / 1e9;
  result.f32_gflops = rates.f32_flops / 1e9;
  for (const Architecture* architecture : architectures())
    result.architectures.emplace_back(architecture->name);
  result.lanes = lane_names();
  if (active_isa() == Isa::kRef)
    result.problems.emplace_back("no AVX2: everything runs, many times slower");
  if (!isa_override_error().empty()) result.problems.push_back(isa_override_error());
  return result;
}

std::string to_json(const DoctorResult& result) {
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
                       {"architectures", json_of(result.architectures)},
                       {"lanes", json_of(result.lanes)},
                       {"problems", json_of(result.problems)}})
      .dump(2);
}

}  // namespace quantlane
