// The rows of attention: selection, tests and benchmarks read this table.
#pragma once
#include <span>

#include "core/cpu.h"
#include "kernels/ops.h"

namespace quantlane::kernels {

struct AttentionRow {
  Isa isa;  // needs at least this
  void (*run)(const AttentionShape& shape, const float* q, const float* keys, const float* values,
              float* out, ThreadPool& pool);
};

// Best first; the last row is the reference.
std::span<const AttentionRow> attention_rows();

// Plain loops, double sums.
void attention_ref(const AttentionShape& shape, const float* q, const float* keys,
                   const float* values, float* out, ThreadPool& pool);

}  // namespace quantlane::kernels
