// The decoders that exist once per instruction set. Plain data and C types only: the ISA objects
// include this header. Layouts and arithmetic: the block structs of formats/.
#pragma once
#include <cstddef>
#include <cstdint>

namespace quantlane::kernels {

struct DequantKernels {
  // Blocks of any alignment -> float32.
  void (*q4_0)(const std::byte* blocks, int64_t block_count, float* values);
  void (*q4_1)(const std::byte* blocks, int64_t block_count, float* values);
  void (*q5_0)(const std::byte* blocks, int64_t block_count, float* values);
  void (*q5_1)(const std::byte* blocks, int64_t block_count, float* values);
  void (*q8_0)(const std::byte* blocks, int64_t block_count, float* values);
  void (*q2_k)(const std::byte* blocks, int64_t block_count, float* values);
  void (*q3_k)(const std::byte* blocks, int64_t block_count, float* values);
  void (*q4_k)(const std::byte* blocks, int64_t block_count, float* values);
  void (*q5_k)(const std::byte* blocks, int64_t block_count, float* values);
  void (*q6_k)(const std::byte* blocks, int64_t block_count, float* values);
  void (*iq4_nl)(const std::byte* blocks, int64_t block_count, float* values);
  void (*iq4_xs)(const std::byte* blocks, int64_t block_count, float* values);
  void (*tq2_0)(const std::byte* blocks, int64_t block_count, float* values);
  // values = code * scale, codes signed.
  void (*int_symmetric)(const int8_t* codes, int64_t count, float scale, float* values);
  // values = (code - zero) * scale, codes unsigned.
  void (*int_asymmetric)(const int8_t* codes, int64_t count, float scale, float zero,
                         float* values);
  // values = e4m3(code) * scale.
  void (*e4m3)(const int8_t* codes, int64_t count, float scale, float* values);
  // values = table[code] * scale, codes 0 .. 15.
  void (*lookup)(const int8_t* codes, int64_t count, const float table[16], float scale,
                 float* values);
  // To binary16 or bfloat16 and back, in place.
  void (*round_f16)(float* values, int64_t count);
  void (*round_bf16)(float* values, int64_t count);
};

extern const DequantKernels kDequantAvx2;
extern const DequantKernels kDequantAvx512;

}  // namespace quantlane::kernels
