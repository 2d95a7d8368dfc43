// What this machine reaches: the two figures that bound inference.
#pragma once
#include <cstdint>

#include "core/threads.h"

namespace quantlane {

struct MachineRates {
  double bandwidth = 0;  // bytes per second, reading, all threads of the pool
  double f32_flops = 0;  // per second, matrix product
};
// What measuring takes of memory: more than caches of interest hold.
inline constexpr std::uint64_t kMachineBytes = (std::uint64_t{256} + 12) << 20;
// Takes about half a second.
MachineRates measure_machine(ThreadPool& pool);

}  // namespace quantlane
