// What this processor and operating system can run. Detected once per process.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

namespace quantlane {

// Ordered: a higher value implies the lower ones.
enum class Isa : std::uint8_t {
  kRef = 0,
  kAvx2 = 1,
  kAvx512 = 2,
  kAvx512Vnni = 3,
  kAvx512Bf16 = 4
};

struct CpuInfo {
  std::string model;     // as the operating system names it
  Isa best = Isa::kRef;  // best instruction set present, operating-system state included
  bool avx_vnni = false;
  bool avx512_bf16 = false;
  bool avx512_vbmi = false;
  bool amx_int8 = false;
  bool amx_bf16 = false;
  int cores = 1;                   // usable_cores()
  std::uint64_t memory_bytes = 0;  // physical
  std::uint64_t available_bytes =
      0;  // at the time of detection, within the limits of control groups
};

const CpuInfo& cpu_info();
// The instruction set in force: cpu_info().best, or what QUANTLANE_ISA (ref, avx2, avx512,
// avx512vnni, avx512bf16) asks for. An unknown or absent one is reported by isa_override_error().
Isa active_isa();
// Empty, or why QUANTLANE_ISA cannot be honoured; the command line refuses to start then.
std::string isa_override_error();
std::string_view isa_name(Isa isa);

}  // namespace quantlane
