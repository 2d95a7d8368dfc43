// Fast decoding of quantized rows to float32; each matches the scalar code of formats/ bit for bit.
#pragma once
#include <cstddef>
#include <cstdint>

#include "formats/block_format.h"
#include "formats/quant_tensor.h"

namespace quantlane::kernels {

// blocks, block_count, values: as BlockFormat::decode.
using BlockDecode = void (*)(const std::byte*, std::int64_t, float*);

// The fastest decoder of `format` on this processor: a vector kernel, or format.decode where there
// is none.
BlockDecode block_decode(const BlockFormat& format);

// As tensor.decode_rows(begin, count, values). Thread-safe.
void decode_rows(const QuantTensor& tensor, std::int64_t begin, std::int64_t count, float* values);

}  // namespace quantlane::kernels
