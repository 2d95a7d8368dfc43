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
#pragma GCC unroll 16
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
  }
#pragma GCC unroll 16
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
#pragma GCC unroll 16
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);           // columns i, i+8; rows 0 .. 7
    t[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xDD);       // columns i+4, i+12; rows 0 .. 7
    t[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);  // rows 8 .. 15
    t[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xDD);
  }
#pragma GCC unroll 16
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
#pragma GCC unroll 16
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
  const __mmask16 previous = args.first ? 0 : 0xFFFF;
  __m512 sum[kRows][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      sum[r][v] = _mm512_maskz_loadu_ps(previous, sums + r * args.sums_stride + v * kLanes);
    }
  }
  const float* panel = args.panel;
  for (int64_t k = 0; k < args.k_count; ++k) {
    __m512 x[kVectors];
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) x[v] = _mm512_load_ps(panel + v * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const __m512 value = _mm512_set1_ps(w[r * kGemmKStride + k]);
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) sum[r][v] = _mm512_fmadd_ps(value, x[v], sum[r][v]);
    }
    panel += kVectors * kLanes;
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
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
#pragma GCC unroll 16
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
    dot_step<kRows, kTokens>(w + i, k, x + i, args.x_stride, sum,
                             lanes_below(rest < kLanes ? rest : kLanes),
                             lanes_below(rest < kLanes ? 0 : rest - kLanes));
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
    .panel_tokens = 2 * kLanes,
    .vector_tokens = kLanes,
    .row_block = 224,  // 16 tiles of 14 rows, 14 transposes of 16
    .pack = pack,
    .tile = tile,
    .store = store,
    .widen = widen,
    .dot_f32 = dot<float>,
    .dot_bf16 = dot<uint16_t>,
};

}  // namespace quantlane::kernels
