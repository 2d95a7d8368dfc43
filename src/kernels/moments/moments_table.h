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

// Columns x [tokens, cols] times y [tokens, width], less those of `minus` where that is given; only
// what lies on and above the diagonal where y is x.
struct MomentFactors {
  const float* x;
  std::int64_t cols;
  const float* y;
  std::int64_t width;
  const float* minus = nullptr;
  [[nodiscard]] bool symmetric() const { return y == x && minus == nullptr; }
};

// sums [cols, width] += the products, with the row given; the processor must have row.isa.
void add_moments_with(const MomentRow& row, const MomentFactors& factors, std::int64_t tokens,
                      float* sums, ThreadPool& pool);

}  // namespace quantlane::kernels
