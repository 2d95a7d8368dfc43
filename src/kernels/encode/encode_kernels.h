// The row encoders that exist once per instruction set. Plain data and C types only: the ISA
// objects include this header. Rounding rules: kernels/encode.h.
#pragma once
#include <stdint.h>

namespace quantlane::kernels {

struct EncodeKernels {
  // Bits (exponent and mantissa of bf16) of the largest magnitude; above 0x7F7F: not all finite.
  uint16_t (*largest_bf16)(const uint16_t* bf16, int64_t cols);
  // codes = half-even(clamp(value / scale, -128, 127)).
  void (*codes_int8)(const uint16_t* bf16, int64_t cols, float scale, int8_t* codes);
  // codes = E4M3(value / scale), half-even, saturating.
  void (*codes_e4m3)(const uint16_t* bf16, int64_t cols, float scale, int8_t* codes);
};

extern const EncodeKernels kEncodeRef;
extern const EncodeKernels kEncodeAvx2;
extern const EncodeKernels kEncodeAvx512;

}  // namespace quantlane::kernels
