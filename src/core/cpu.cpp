#include "core/cpu.h"

#include <array>
#include <cstdlib>
#include <fstream>
#include <string>

#include <cpuid.h>

#include "core/process_memory.h"
#include "core/threads.h"

namespace quantlane {
namespace {

struct IsaName {
  Isa isa;
  std::string_view name;
};
constexpr std::array kIsaNames = {
    IsaName{Isa::kRef, "ref"}, IsaName{Isa::kAvx2, "avx2"}, IsaName{Isa::kAvx512, "avx512"},
    IsaName{Isa::kAvx512Vnni, "avx512vnni"}, IsaName{Isa::kAvx512Bf16, "avx512bf16"}};

std::string model_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) {
      const auto colon = line.find(':');
      if (colon != std::string::npos && colon + 2 <= line.size()) return line.substr(colon + 2);
    }
  }
  return "unknown";
}

std::uint64_t xcr0() {
  std::uint32_t low = 0;
  std::uint32_t high = 0;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<std::uint64_t>(high) << 32) | low;
}

// CPUID leaf 7 bit positions: Intel SDM vol. 2A, table 3-8.
CpuInfo detect() {
  CpuInfo info;
  info.model = model_name();
  info.cores = usable_cores();
  info.memory_bytes = physical_memory_bytes();
  info.available_bytes = available_memory_bytes();
  unsigned a = 0;
  unsigned b = 0;
  unsigned c = 0;
  unsigned d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) return info;
  const bool fma = (c >> 12 & 1) != 0;
  const bool osxsave = (c >> 27 & 1) != 0;
  const bool f16c = (c >> 29 & 1) != 0;
  if (!osxsave || __get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return info;
  const std::uint64_t state = xcr0();
  const bool ymm = (state & 0x6) == 0x6;
  const bool zmm = (state & 0xE6) == 0xE6;
  const bool tiles = (state & 0x60000) == 0x60000;
  const bool avx2 = (b >> 5 & 1) != 0;
  const bool f = (b >> 16 & 1) != 0;
  const bool dq = (b >> 17 & 1) != 0;
  const bool bw = (b >> 30 & 1) != 0;
  const bool vl = (b >> 31 & 1) != 0;
  const bool vnni = (c >> 11 & 1) != 0;
  if (ymm && avx2 && fma && f16c) info.best = Isa::kAvx2;
  if (info.best == Isa::kAvx2 && zmm && f && dq && bw && vl) {
    info.best = vnni ? Isa::kAvx512Vnni : Isa::kAvx512;
    info.avx512_vbmi = (c >> 1 & 1) != 0;
  }
  info.amx_bf16 = tiles && (d >> 22 & 1) != 0;
  info.amx_int8 = tiles && (d >> 25 & 1) != 0;
  if (__get_cpuid_count(7, 1, &a, &b, &c, &d) != 0) {
    info.avx_vnni = ymm && (a >> 4 & 1) != 0;
    info.avx512_bf16 = info.best >= Isa::kAvx512 && (a >> 5 & 1) != 0;
    if (info.avx512_bf16 && info.best == Isa::kAvx512Vnni) info.best = Isa::kAvx512Bf16;
  }
  return info;
}

struct IsaChoice {
  Isa isa;
  std::string error;
};

IsaChoice choose_isa() {
  const Isa best = cpu_info().best;
  const char* wanted = std::getenv("QUANTLANE_ISA");
  if (wanted == nullptr || *wanted == '\0') return {best, ""};
  for (const auto& row : kIsaNames) {
    if (row.name != wanted) continue;
    if (row.isa <= best) return {row.isa, ""};
    return {best, "QUANTLANE_ISA=" + std::string(wanted) + ": this processor has only " +
                      std::string(isa_name(best))};
  }
  return {best, "QUANTLANE_ISA=" + std::string(wanted) +
                    ": unknown; use ref, avx2, avx512, avx512vnni or avx512bf16"};
}

const IsaChoice& isa_choice() {
  static const IsaChoice choice = choose_isa();
  return choice;
}

}  // namespace

const CpuInfo& cpu_info() {
  static const CpuInfo info = detect();
  return info;
}
Isa active_isa() { return isa_choice().isa; }
std::string isa_override_error() { return isa_choice().error; }
std::string_view isa_name(Isa isa) {
  for (const auto& row : kIsaNames) {
    if (row.isa == isa) return row.name;
  }
  return "unknown";
}

}  // namespace quantlane
