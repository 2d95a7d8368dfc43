// The pieces of the product for AVX-512 (F, BW, VL, DQ). See gemm_kernels.h for the layouts.
#include "kernels/gemm/gemm_kernels.h"
#include "kernels/simd/lanes_avx512.inc"

namespace quantlane::kernels {
namespace {

constexpr int64_t kSlotColumns = 1;

inline __m512 load_slots(const float* x, int64_t columns) {
  return _mm512_maskz_loadu_ps(lanes_below(columns), x);
}

inline __m512 multiply_add(__m512 w, __m512 x, __m512 sum) { return _mm512_fmadd_ps(w, x, sum); }

}  // namespace
}  // namespace quantlane::kernels

#include "kernels/gemm/gemm_avx512_tiles.inc"

namespace quantlane::kernels {
namespace {

inline __m512 widen_16(__m256i bf16) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bf16), 16));
}

void load_bf16(const uint16_t* bf16, int64_t count, float* slots) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    _mm512_storeu_ps(slots + i,
                     widen_16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(bf16 + i))));
  }
  if (i < count) {
    const __mmask16 mask = lanes_below(count - i);
    _mm512_mask_storeu_ps(slots + i, mask, widen_16(_mm256_maskz_loadu_epi16(mask, bf16 + i)));
  }
}

void load_f32(const float* values, int64_t count, float* slots) {
  __builtin_memcpy(slots, values, static_cast<size_t>(count) * sizeof(float));
}

inline __m512 load_w(const float* w) { return _mm512_loadu_ps(w); }
inline __m512 load_w(const uint16_t* w) {
  return widen_16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(w)));
}
inline __m512 load_w(const float* w, __mmask16 mask) { return _mm512_maskz_loadu_ps(mask, w); }
inline __m512 load_w(const uint16_t* w, __mmask16 mask) {
  return widen_16(_mm256_maskz_loadu_epi16(mask, w));
}

// Two chains per output: columns 0 .. 15 and 16 .. 31 of each 32.
constexpr int64_t kDotStep = 2 * kLanes;
// How far ahead of the loads w is requested, bytes.
constexpr int64_t kPrefetchBytes = 2048;
// Outputs whose lanes are added together.
constexpr int kReduced = 8;

// totals[i] = the sum of the lanes of v[i]. Each stage adds halves of the lanes of two vectors and
// keeps both results in one: 256-bit halves, 128-bit lanes, 64-bit pairs, neighbours. All outputs
// take the same tree, whatever their place.
inline void reduce_8(const __m512 v[kReduced], float totals[16]) {
  __m512 pair[4];
#pragma GCC unroll 16
  for (int i = 0; i < 4; ++i) {
    pair[i] = _mm512_add_ps(_mm512_shuffle_f32x4(v[2 * i], v[2 * i + 1], 0x44),
                            _mm512_shuffle_f32x4(v[2 * i], v[2 * i + 1], 0xEE));
  }
  __m512 four[2];
#pragma GCC unroll 16
  for (int i = 0; i < 2; ++i) {
    four[i] = _mm512_add_ps(_mm512_shuffle_f32x4(pair[2 * i], pair[2 * i + 1], 0x88),
                            _mm512_shuffle_f32x4(pair[2 * i], pair[2 * i + 1], 0xDD));
  }
  // 128-bit lane j: [v[j] v[j+4] v[j] v[j+4]], half sums.
  const __m512 half =
      _mm512_add_ps(_mm512_unpacklo_ps(four[0], four[1]), _mm512_unpackhi_ps(four[0], four[1]));
  const __m512 whole = _mm512_add_ps(half, _mm512_shuffle_ps(half, half, 0x4E));
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  _mm512_store_ps(totals, _mm512_permutexvar_ps(order, whole));
}

template <int kRows, int kTokens, typename W, typename... Mask>
inline void dot_step(const W* w, int64_t w_stride, const float* x, int64_t x_stride,
                     __m512 sum[kRows][kTokens][2], Mask... masks) {
#pragma GCC unroll 16
  for (int half = 0; half < 2; ++half) {
    __m512 w_values[kRows];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      if constexpr (sizeof...(Mask) == 0) {
        w_values[r] = load_w(w + r * w_stride + half * kLanes);
      } else {
        const __mmask16 mask[2] = {masks...};
        w_values[r] = load_w(w + r * w_stride + half * kLanes, mask[half]);
      }
    }
#pragma GCC unroll 16
    for (int t = 0; t < kTokens; ++t) {
      const __m512 x_values = _mm512_load_ps(x + t * x_stride + half * kLanes);
#pragma GCC unroll 16
      for (int r = 0; r < kRows; ++r) {
        sum[r][t][half] = _mm512_fmadd_ps(w_values[r], x_values, sum[r][t][half]);
      }
    }
  }
}

template <int kRows, int kTokens, typename W>
void dot_block(const W* w, const float* x, const GemmDotArgs& args, float* y) {
  const int64_t k = args.k_count;
  __m512 sum[kRows][kTokens][2];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int t = 0; t < kTokens; ++t) {
      sum[r][t][0] = _mm512_setzero_ps();
      sum[r][t][1] = _mm512_setzero_ps();
    }
  }
  int64_t i = 0;
  for (; i + kDotStep <= k; i += kDotStep) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      _mm_prefetch(reinterpret_cast<const char*>(w + r * k + i) + kPrefetchBytes, _MM_HINT_T0);
    }
    dot_step<kRows, kTokens>(w + i, k, x + i, args.x_stride, sum);
  }
  if (i < k) {
    const int64_t rest = k - i;
    dot_step<kRows, kTokens>(w + i, k, x + i, args.x_stride, sum, lanes_below(rest),
                             lanes_below(rest - kLanes));
  }
  static_assert(kRows * kTokens <= kReduced);
  __m512 output[kReduced];
  alignas(64) float totals[16];
#pragma GCC unroll 16
  for (int j = 0; j < kReduced; ++j) {
    output[j] = j < kRows * kTokens ? _mm512_add_ps(sum[j / kTokens][j % kTokens][0],
                                                    sum[j / kTokens][j % kTokens][1])
                                    : _mm512_setzero_ps();
  }
  reduce_8(output, totals);
#pragma GCC unroll 16
  for (int j = 0; j < kRows * kTokens; ++j) {
    y[j % kTokens * args.y_stride + j / kTokens] = totals[j];
  }
}

template <int kRows, int kTokens, typename W>
void dot_rows(const GemmDotArgs& args, int64_t token) {
  const auto* w = static_cast<const W*>(args.w);
  const float* x = args.x + token * args.x_stride;
  float* y = args.y + token * args.y_stride;
  int64_t r = 0;
  for (; r + kRows <= args.rows; r += kRows) {
    dot_block<kRows, kTokens>(w + r * args.k_count, x, args, y + r);
  }
  for (; r < args.rows; ++r) dot_block<1, kTokens>(w + r * args.k_count, x, args, y + r);
}

// At most 8 outputs at a time: 16 accumulators, and registers left for the operands.
template <typename W>
void dot(const GemmDotArgs& args) {
  int64_t token = 0;
  for (; args.tokens - token > 4; token += args.tokens - token > 6 ? 4 : 3) {
    if (args.tokens - token > 6) {
      dot_rows<2, 4, W>(args, token);
    } else {
      dot_rows<2, 3, W>(args, token);
    }
  }
  switch (args.tokens - token) {
    case 4:
      return dot_rows<2, 4, W>(args, token);
    case 3:
      return dot_rows<2, 3, W>(args, token);
    case 2:
      return dot_rows<4, 2, W>(args, token);
    case 1:
      return dot_rows<8, 1, W>(args, token);
    default:
      return;
  }
}

}  // namespace

const GemmKernels kGemmAvx512 = {
    .slot_columns = kSlotColumns,
    .panel_tokens = 2 * kLanes,
    .vector_tokens = kLanes,
    .row_block = 224,  // 16 tiles of 14 rows, 14 transposes of 16
    .pack = pack,
    .tile = tile,
    .store = store,
    .load_bf16 = load_bf16,
    .load_f32 = load_f32,
    .dot_f32 = dot<float>,
    .dot_bf16 = dot<uint16_t>,
};

}  // namespace quantlane::kernels
