// The rows of second moments: selection and tests read this table.
#pragma once
#include <span>

#include "core/cpu.h"
#include "kernels/moments.h"
#include "kernels/moments/moments_kernels.h"

namespace quantlane::kernels {

struct MomentRow {
  Isa isa;                       // needs at least this
  const MomentKernels* kernels;  // nullptr: the product of gemm.h on transposed rows
};

// Best first; the last row runs everywhere.
std::span<const MomentRow> moment_rows();

// add_moments() with the row given; the processor must have row.isa.
void add_moments_with(const MomentRow& row, const float* x, std::int64_t tokens, std::int64_t cols,
                      std::span<const MomentProduct> products, ThreadPool& pool);

}  // namespace quantlane::kernels
