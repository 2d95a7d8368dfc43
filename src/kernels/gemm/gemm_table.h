// The rows of the product: selection, tests and benchmarks read this table.
#pragma once
#include <array>
#include <cstdint>
#include <span>

#include "core/cpu.h"
#include "kernels/gemm.h"
#include "kernels/gemm/gemm_kernels.h"

namespace quantlane::kernels {

struct GemmRow {
  Isa isa;  // needs at least this
  const GemmKernels* kernels;
};

// Best first; the last row is the reference, so a choice always exists.
std::span<const GemmRow> gemm_rows();
// Those of gemm_rounded(); gemm() where none of them runs.
std::span<const GemmRow> rounded_gemm_rows();

inline std::array<GemmPart, 1> one_part(const RowSource& w, std::int64_t n, float* y) {
  return {GemmPart{.w = w, .n = n, .y = y}};
}

// gemm() with the row given instead of chosen; the processor must have row.isa.
void gemm_with(const GemmKernels& kernels, const float* x, std::int64_t tokens, std::int64_t k,
               std::span<const GemmPart> parts, ThreadPool& pool);

}  // namespace quantlane::kernels
