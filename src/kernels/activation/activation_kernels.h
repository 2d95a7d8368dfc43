// The activation rounding that exists once per instruction set. Plain data and C types only: the
// ISA objects include this header.
#pragma once
#include <stdint.h>

namespace quantlane::kernels {

struct ActivationKernels {
  // One row in place. scale 0: from the row's largest magnitude / 127.5 or / 448; a row whose scale
  // vanishes becomes zero.
  void (*round_int8)(float* row, int64_t cols, float scale);
  void (*round_e4m3)(float* row, int64_t cols, float scale);
  // `scale` is not looked at: ggml's blocks with the scale as binary16 or float32, plain types.
  void (*round_q8_0)(float* row, int64_t cols, float scale);
  void (*round_q8_k)(float* row, int64_t cols, float scale);
  void (*round_f16)(float* row, int64_t cols, float scale);
  void (*round_bf16)(float* row, int64_t cols, float scale);
};

extern const ActivationKernels kActivationAvx2;
extern const ActivationKernels kActivationAvx512;

}  // namespace quantlane::kernels
