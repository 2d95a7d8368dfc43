// The rows of activation rounding: selection, tests and benchmarks read this table.
#pragma once
#include <span>

#include "core/cpu.h"
#include "kernels/activation.h"
#include "kernels/activation/activation_kernels.h"

namespace quantlane::kernels {

struct ActivationRow {
  Isa isa;                           // needs at least this
  const ActivationKernels* kernels;  // nullptr: the scalar code of formats/
};

// Best first; the last row is the scalar code.
std::span<const ActivationRow> activation_rows();

// round_activations() with the row given; the processor must have row.isa.
void round_activations_with(const ActivationRow& row, const ActivationScheme& scheme, float* values,
                            std::int64_t tokens, std::int64_t cols);

}  // namespace quantlane::kernels
