// The tiled product for AVX-512 with bf16 products: slots of two columns, the lower one first. See
// gemm_kernels.h for the layouts.
#include "kernels/gemm/gemm_kernels.h"
#include "kernels/simd/lanes_avx512.inc"

namespace quantlane::kernels {
namespace {

constexpr int64_t kSlotColumns = 2;

inline __m512 load_slots(const float* x, int64_t columns) {
  const __m512 low = _mm512_maskz_loadu_ps(lanes_below(columns), x);
  const __m512 high = _mm512_maskz_loadu_ps(lanes_below(columns - kLanes), x + kLanes);
  return reinterpret_cast<__m512>(_mm512_cvtne2ps_pbh(high, low));
}

inline __m512 multiply_add(__m512 w, __m512 x, __m512 sum) {
  return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(w), reinterpret_cast<__m512bh>(x));
}

}  // namespace
}  // namespace quantlane::kernels

#include "kernels/gemm/gemm_avx512_tiles.inc"

namespace quantlane::kernels {
namespace {

void load_bf16(const uint16_t* bf16, int64_t count, float* slots) {
  constexpr int64_t kColumns = kLanes * kSlotColumns;
  for (int64_t i = 0; i < count; i += kColumns) {
    const int64_t left = count - i;
    const __mmask32 columns =
        left >= kColumns ? 0xFFFFFFFFU : (1U << static_cast<unsigned>(left)) - 1U;
    _mm512_mask_storeu_epi32(slots + i / kSlotColumns, lanes_below((left + 1) / kSlotColumns),
                             _mm512_maskz_loadu_epi16(columns, bf16 + i));
  }
}

void load_f32(const float* values, int64_t count, float* slots) {
  constexpr int64_t kColumns = kLanes * kSlotColumns;
  for (int64_t i = 0; i < count; i += kColumns) {
    const int64_t left = count - i;
    _mm512_mask_storeu_ps(slots + i / kSlotColumns, lanes_below((left + 1) / kSlotColumns),
                          load_slots(values + i, left));
  }
}

}  // namespace

const GemmKernels kGemmAvx512Bf16 = {
    .slot_columns = kSlotColumns,
    .panel_tokens = 2 * kLanes,
    .vector_tokens = kLanes,
    .row_block = 224,
    .pack = pack,
    .tile = tile,
    .store = store,
    .load_bf16 = load_bf16,
    .load_f32 = load_f32,
    .dot_f32 = nullptr,
    .dot_bf16 = nullptr,
};

}  // namespace quantlane::kernels
