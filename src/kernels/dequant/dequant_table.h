// The rows of decoding: selection, tests and benchmarks read this table.
#pragma once
#include <span>
#include <string_view>

#include "core/cpu.h"
#include "kernels/dequant.h"
#include "kernels/dequant/dequant_kernels.h"

namespace quantlane::kernels {

struct DequantRow {
  Isa isa;                        // needs at least this
  const DequantKernels* kernels;  // nullptr: the scalar code of formats/
};

// Best first; the last row is the scalar code.
std::span<const DequantRow> dequant_rows();

// A block format that has vector decoders.
struct FastBlockFormat {
  std::string_view name;
  BlockDecode DequantKernels::* decode;
};
std::span<const FastBlockFormat> fast_block_formats();

// The public functions with the row given; the processor must have row.isa.
BlockDecode block_decode_with(const DequantRow& row, const BlockFormat& format);
void decode_rows_with(const DequantRow& row, const QuantTensor& tensor, std::int64_t begin,
                      std::int64_t count, float* values);

}  // namespace quantlane::kernels
