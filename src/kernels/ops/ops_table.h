// The rows of the element-wise and row kernels: selection, tests and benchmarks read this table.
#pragma once
#include <span>

#include "core/cpu.h"
#include "kernels/ops/ops_kernels.h"

namespace quantlane::kernels {

struct OpsRow {
  Isa isa;  // needs at least this
  const OpsKernels* kernels;
};

// Best first; the last row is the reference.
std::span<const OpsRow> ops_rows();

}  // namespace quantlane::kernels
