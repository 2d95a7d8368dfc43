// The rows of the encoders: selection, tests and benchmarks read this table.
#pragma once
#include <span>

#include "core/cpu.h"
#include "kernels/encode.h"
#include "kernels/encode/encode_kernels.h"

namespace quantlane::kernels {

struct EncodeRow {
  Isa isa;  // needs at least this
  const EncodeKernels* kernels;
};

// Best first; the last row is the reference.
std::span<const EncodeRow> encode_rows();

// The public encoders with the row given; the processor must have row.isa.
EncodedRow encode_int8_with(const EncodeKernels& kernels, const std::uint16_t* bf16,
                            std::int64_t cols, std::int8_t* codes);
EncodedRow encode_e4m3_with(const EncodeKernels& kernels, const std::uint16_t* bf16,
                            std::int64_t cols, std::int8_t* codes);

}  // namespace quantlane::kernels
