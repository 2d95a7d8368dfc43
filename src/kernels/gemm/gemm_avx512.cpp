// The pieces of the product for AVX-512 (F, BW, VL, DQ). See gemm_kernels.h for the layouts.
#include <immintrin.h>
#include <stdint.h>

#include "kernels/gemm/gemm_kernels.h"

namespace quantlane::kernels {
namespace {

constexpr int64_t kLanes = 16;
// 14 rows * 2 vectors = 28 accumulators, 2 panel vectors, 1 broadcast: 31 of 32 registers.
constexpr int kTileRows = 14;

// Lanes below `count` (0 .. 16).
__mmask16 lanes_below(int64_t count) {
  return static_cast<__mmask16>((1U << static_cast<unsigned>(count)) - 1U);
}

// 16 rows of 16 float32 -> 16 columns. Each stage doubles the run of elements of one column:
// unpack 32-bit pairs, unpack 64-bit pairs, then two rounds of 128-bit lane exchange.
inline void transpose_16x16(__m512 r[16]) {
  __m512 t[16];
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    const __m512d a = _mm512_castps_pd(t[i]);
    const __m512d b = _mm512_castps_pd(t[i + 1]);
    const __m512d c = _mm512_castps_pd(t[i + 2]);
    const __m512d d = _mm512_castps_pd(t[i + 3]);
    r[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));      // columns 0 4 8 12 of rows i .. i+3
    r[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));  // 1 5 9 13
    r[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));  // 2 6 10 14
    r[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));  // 3 7 11 15
  }
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);           // columns i, i+8; rows 0 .. 7
    t[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xDD);       // columns i+4, i+12; rows 0 .. 7
    t[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);  // rows 8 .. 15
    t[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xDD);
  }
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
    r[i + 4] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0x88);
    r[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xDD);
    r[i + 12] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0xDD);
  }
}

void pack(const float* x, int64_t tokens, int64_t k, int64_t width, float* panel) {
  for (int64_t t0 = 0; t0 < width; t0 += kLanes) {
    const int64_t count = tokens - t0 < kLanes ? tokens - t0 : kLanes;
    for (int64_t k0 = 0; k0 < k; k0 += kLanes) {
      const int64_t columns = k - k0 < kLanes ? k - k0 : kLanes;
      const __mmask16 mask = lanes_below(columns);
      __m512 block[16];
      for (int i = 0; i < 16; ++i) {
        block[i] =
            i < count ? _mm512_maskz_loadu_ps(mask, x + (t0 + i) * k + k0) : _mm512_setzero_ps();
      }
      transpose_16x16(block);
      for (int i = 0; i < columns; ++i) _mm512_store_ps(panel + (k0 + i) * width + t0, block[i]);
    }
  }
}

template <int kRows, int kVectors>
void tile_rows(const float* w, const GemmTileArgs& args, float* sums) {
  __m512 sum[kRows][kVectors];
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      sum[r][v] = args.first ? _mm512_setzero_ps()
                             : _mm512_loadu_ps(sums + r * args.sums_stride + v * kLanes);
    }
  }
  const float* panel = args.panel;
  for (int64_t k = 0; k < args.k_count; ++k) {
    __m512 x[kVectors];
    for (int v = 0; v < kVectors; ++v) x[v] = _mm512_load_ps(panel + v * kLanes);
    for (int r = 0; r < kRows; ++r) {
      const __m512 value = _mm512_set1_ps(w[r * kGemmKStride + k]);
      for (int v = 0; v < kVectors; ++v) sum[r][v] = _mm512_fmadd_ps(value, x[v], sum[r][v]);
    }
    panel += kVectors * kLanes;
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) {
      _mm512_storeu_ps(sums + r * args.sums_stride + v * kLanes, sum[r][v]);
    }
  }
}

using TileRows = void (*)(const float*, const GemmTileArgs&, float*);
constexpr TileRows kTails[2][kTileRows] = {
    {nullptr, tile_rows<1, 1>, tile_rows<2, 1>, tile_rows<3, 1>, tile_rows<4, 1>, tile_rows<5, 1>,
     tile_rows<6, 1>, tile_rows<7, 1>, tile_rows<8, 1>, tile_rows<9, 1>, tile_rows<10, 1>,
     tile_rows<11, 1>, tile_rows<12, 1>, tile_rows<13, 1>},
    {nullptr, tile_rows<1, 2>, tile_rows<2, 2>, tile_rows<3, 2>, tile_rows<4, 2>, tile_rows<5, 2>,
     tile_rows<6, 2>, tile_rows<7, 2>, tile_rows<8, 2>, tile_rows<9, 2>, tile_rows<10, 2>,
     tile_rows<11, 2>, tile_rows<12, 2>, tile_rows<13, 2>}};

void tile(const GemmTileArgs& args) {
  const bool wide = args.width == 2 * kLanes;
  int64_t r = 0;
  for (; r + kTileRows <= args.rows; r += kTileRows) {
    const float* w = args.w + r * kGemmKStride;
    float* sums = args.sums + r * args.sums_stride;
    if (wide) {
      tile_rows<kTileRows, 2>(w, args, sums);
    } else {
      tile_rows<kTileRows, 1>(w, args, sums);
    }
  }
  if (r < args.rows) {
    kTails[wide ? 1 : 0][args.rows - r](args.w + r * kGemmKStride, args,
                                        args.sums + r * args.sums_stride);
  }
}

void store(const float* sums, int64_t sums_stride, int64_t rows, int64_t tokens, float* y,
           int64_t y_stride) {
  for (int64_t t0 = 0; t0 < tokens; t0 += kLanes) {
    const int64_t count = tokens - t0 < kLanes ? tokens - t0 : kLanes;
    const __mmask16 load_mask = lanes_below(count);
    for (int64_t r0 = 0; r0 < rows; r0 += kLanes) {
      const int64_t height = rows - r0 < kLanes ? rows - r0 : kLanes;
      const __mmask16 store_mask = lanes_below(height);
      __m512 block[16];
      for (int i = 0; i < 16; ++i) {
        block[i] = i < height ? _mm512_maskz_loadu_ps(load_mask, sums + (r0 + i) * sums_stride + t0)
                              : _mm512_setzero_ps();
      }
      transpose_16x16(block);
      for (int i = 0; i < count; ++i) {
        _mm512_mask_storeu_ps(y + (t0 + i) * y_stride + r0, store_mask, block[i]);
      }
    }
  }
}

inline __m512 widen_16(__m256i bf16) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bf16), 16));
}

void widen(const uint16_t* bf16, int64_t count, float* values) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    _mm512_storeu_ps(values + i,
                     widen_16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(bf16 + i))));
  }
  if (i < count) {
    const __mmask16 mask = lanes_below(count - i);
    _mm512_mask_storeu_ps(values + i, mask, widen_16(_mm256_maskz_loadu_epi16(mask, bf16 + i)));
  }
}

inline __m512 load_w(const float* w, __mmask16 mask) { return _mm512_maskz_loadu_ps(mask, w); }
inline __m512 load_w(const uint16_t* w, __mmask16 mask) {
  return widen_16(_mm256_maskz_loadu_epi16(mask, w));
}

// Two chains per output: columns 0 .. 15 and 16 .. 31 of each 32.
constexpr int64_t kDotStep = 2 * kLanes;
// How far ahead of the loads w is requested, bytes.
constexpr int64_t kPrefetchBytes = 2048;

template <int kRows, int kTokens, typename W>
inline void dot_step(const W* w, const float* x, int64_t k, __mmask16 low, __mmask16 high,
                     __m512 sum[kRows][kTokens][2]) {
  __m512 x0[kTokens];
  __m512 x1[kTokens];
  for (int t = 0; t < kTokens; ++t) {
    x0[t] = _mm512_maskz_loadu_ps(low, x + t * k);
    x1[t] = _mm512_maskz_loadu_ps(high, x + t * k + kLanes);
  }
  for (int r = 0; r < kRows; ++r) {
    const __m512 w0 = load_w(w + r * k, low);
    const __m512 w1 = load_w(w + r * k + kLanes, high);
    for (int t = 0; t < kTokens; ++t) {
      sum[r][t][0] = _mm512_fmadd_ps(w0, x0[t], sum[r][t][0]);
      sum[r][t][1] = _mm512_fmadd_ps(w1, x1[t], sum[r][t][1]);
    }
  }
}

template <int kRows, int kTokens, typename W>
void dot_block(const W* w, const float* x, int64_t k, float* y, int64_t y_stride) {
  __m512 sum[kRows][kTokens][2];
  for (int r = 0; r < kRows; ++r) {
    for (int t = 0; t < kTokens; ++t) {
      sum[r][t][0] = _mm512_setzero_ps();
      sum[r][t][1] = _mm512_setzero_ps();
    }
  }
  int64_t i = 0;
  for (; i + kDotStep <= k; i += kDotStep) {
    for (int r = 0; r < kRows; ++r) {
      _mm_prefetch(reinterpret_cast<const char*>(w + r * k + i) + kPrefetchBytes, _MM_HINT_T0);
    }
    dot_step<kRows, kTokens>(w + i, x + i, k, 0xFFFF, 0xFFFF, sum);
  }
  if (i < k) {
    const int64_t rest = k - i;
    dot_step<kRows, kTokens>(w + i, x + i, k, lanes_below(rest < kLanes ? rest : kLanes),
                             lanes_below(rest < kLanes ? 0 : rest - kLanes), sum);
  }
  for (int r = 0; r < kRows; ++r) {
    for (int t = 0; t < kTokens; ++t) {
      y[t * y_stride + r] = _mm512_reduce_add_ps(_mm512_add_ps(sum[r][t][0], sum[r][t][1]));
    }
  }
}

template <int kRows, int kTokens, typename W>
void dot_rows(const GemmDotArgs& args, int64_t token) {
  const auto* w = static_cast<const W*>(args.w);
  const float* x = args.x + token * args.k;
  float* y = args.y + token * args.y_stride;
  int64_t r = 0;
  for (; r + kRows <= args.rows; r += kRows) {
    dot_block<kRows, kTokens>(w + r * args.k, x, args.k, y + r, args.y_stride);
  }
  for (; r < args.rows; ++r) {
    dot_block<1, kTokens>(w + r * args.k, x, args.k, y + r, args.y_stride);
  }
}

// Rows * tokens * 2 accumulators, and registers left for the operands.
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
      return dot_rows<4, 1, W>(args, token);
    default:
      return;
  }
}

}  // namespace

const GemmKernels kGemmAvx512 = {
    .panel_tokens = 2 * kLanes,
    .vector_tokens = kLanes,
    .row_block = 112,  // 8 tiles of 14 rows, 7 transposes of 16
    .pack = pack,
    .tile = tile,
    .store = store,
    .widen = widen,
    .dot_f32 = dot<float>,
    .dot_bf16 = dot<uint16_t>,
};

}  // namespace quantlane::kernels
