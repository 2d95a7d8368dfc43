// What this machine reaches: the two figures that bound inference.
#pragma once
#include "core/threads.h"

namespace quantlane {

struct MachineRates {
  double bandwidth = 0;  // bytes per second, reading, all threads of the pool
  double f32_flops = 0;  // per second, matrix product
};
// Takes about half a second.
MachineRates measure_machine(ThreadPool& pool);

}  // namespace quantlane
