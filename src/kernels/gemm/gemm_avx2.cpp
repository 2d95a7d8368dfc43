// The pieces of the product for AVX2 with FMA. See gemm_kernels.h for the layouts.
#include <immintrin.h>
#include <stdint.h>

#include "kernels/gemm/gemm_kernels.h"

namespace quantlane::kernels {
namespace {

constexpr int64_t kLanes = 8;
// 6 rows * 2 vectors = 12 accumulators, 2 panel vectors, 1 broadcast: 15 of 16 registers.
constexpr int kTileRows = 6;

// 8 rows of 8 float32 -> 8 columns: 32-bit pairs, 64-bit pairs, 128-bit halves.
inline void transpose_8x8(__m256 r[8]) {
  __m256 t[8];
#pragma GCC unroll 16
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 8; i += 4) {
    r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);          // columns 0 4 of rows i .. i+3
    r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xEE);      // 1 5
    r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);  // 2 6
    r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xEE);  // 3 7
  }
#pragma GCC unroll 16
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
    t[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 8; ++i) r[i] = t[i];
}

// Tails go through a zero-padded copy, so every load and store is whole.
template <typename T>
inline void copy_padded(const T* from, int64_t count, T* to, int64_t size) {
  for (int64_t i = 0; i < size; ++i) to[i] = i < count ? from[i] : T{0};
}

inline __m256 load_some(const float* from, int64_t count) {
  if (count >= kLanes) return _mm256_loadu_ps(from);
  alignas(32) float padded[kLanes];
  copy_padded(from, count, padded, kLanes);
  return _mm256_load_ps(padded);
}

inline void store_some(float* to, int64_t count, __m256 value) {
  if (count >= kLanes) return _mm256_storeu_ps(to, value);
  alignas(32) float padded[kLanes];
  _mm256_store_ps(padded, value);
  for (int64_t i = 0; i < count; ++i) to[i] = padded[i];
}

void pack(const float* x, int64_t tokens, int64_t k, int64_t width, float* panel) {
  for (int64_t t0 = 0; t0 < width; t0 += kLanes) {
    for (int64_t k0 = 0; k0 < k; k0 += kLanes) {
      const int64_t columns = k - k0 < kLanes ? k - k0 : kLanes;
      __m256 block[kLanes];
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) {
        block[i] =
            t0 + i < tokens ? load_some(x + (t0 + i) * k + k0, columns) : _mm256_setzero_ps();
      }
      transpose_8x8(block);
      for (int i = 0; i < columns; ++i) _mm256_store_ps(panel + (k0 + i) * width + t0, block[i]);
    }
  }
}

template <int kRows, int kVectors>
void tile_rows(const float* w, const GemmTileArgs& args, float* sums) {
  const __m256i previous = _mm256_set1_epi32(args.first ? 0 : -1);
  __m256 sum[kRows][kVectors];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      sum[r][v] = _mm256_maskload_ps(sums + r * args.sums_stride + v * kLanes, previous);
    }
  }
  const float* panel = args.panel;
  for (int64_t k = 0; k < args.k_count; ++k) {
    __m256 x[kVectors];
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) x[v] = _mm256_load_ps(panel + v * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      const __m256 value = _mm256_broadcast_ss(w + r * kGemmKStride + k);
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v) sum[r][v] = _mm256_fmadd_ps(value, x[v], sum[r][v]);
    }
    panel += kVectors * kLanes;
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      _mm256_storeu_ps(sums + r * args.sums_stride + v * kLanes, sum[r][v]);
    }
  }
}

using TileRows = void (*)(const float*, const GemmTileArgs&, float*);
constexpr TileRows kTails[2][kTileRows] = {
    {nullptr, tile_rows<1, 1>, tile_rows<2, 1>, tile_rows<3, 1>, tile_rows<4, 1>, tile_rows<5, 1>},
    {nullptr, tile_rows<1, 2>, tile_rows<2, 2>, tile_rows<3, 2>, tile_rows<4, 2>, tile_rows<5, 2>}};

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
    for (int64_t r0 = 0; r0 < rows; r0 += kLanes) {
      const int64_t height = rows - r0 < kLanes ? rows - r0 : kLanes;
      __m256 block[kLanes];
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) {
        block[i] =
            i < height ? load_some(sums + (r0 + i) * sums_stride + t0, count) : _mm256_setzero_ps();
      }
      transpose_8x8(block);
      for (int i = 0; i < count; ++i) store_some(y + (t0 + i) * y_stride + r0, height, block[i]);
    }
  }
}

inline __m256 load_w(const float* w) { return _mm256_loadu_ps(w); }
inline __m256 load_w(const uint16_t* w) {
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(w));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

void load_bf16(const uint16_t* bf16, int64_t count, float* slots) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) _mm256_storeu_ps(slots + i, load_w(bf16 + i));
  if (i < count) {
    uint16_t padded[kLanes];
    copy_padded(bf16 + i, count - i, padded, kLanes);
    store_some(slots + i, count - i, load_w(padded));
  }
}

void load_f32(const float* values, int64_t count, float* slots) {
  __builtin_memcpy(slots, values, static_cast<size_t>(count) * sizeof(float));
}

// Two chains per output: columns 0 .. 7 and 8 .. 15 of each 16.
constexpr int64_t kDotStep = 2 * kLanes;
constexpr int64_t kPrefetchBytes = 2048;

template <int kRows, int kTokens, typename W>
inline void dot_step(const W* w, int64_t w_stride, const float* x, int64_t x_stride,
                     __m256 sum[kRows][kTokens][2]) {
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    const __m256 w0 = load_w(w + r * w_stride);
    const __m256 w1 = load_w(w + r * w_stride + kLanes);
#pragma GCC unroll 16
    for (int t = 0; t < kTokens; ++t) {
      sum[r][t][0] = _mm256_fmadd_ps(w0, _mm256_load_ps(x + t * x_stride), sum[r][t][0]);
      sum[r][t][1] = _mm256_fmadd_ps(w1, _mm256_load_ps(x + t * x_stride + kLanes), sum[r][t][1]);
    }
  }
}

inline float sum_of(__m256 v) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}

template <int kRows, int kTokens, typename W>
void dot_block(const W* w, const float* x, const GemmDotArgs& args, float* y) {
  const int64_t k = args.k_count;
  __m256 sum[kRows][kTokens][2];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int t = 0; t < kTokens; ++t) {
      sum[r][t][0] = _mm256_setzero_ps();
      sum[r][t][1] = _mm256_setzero_ps();
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
    W tail[kRows * kDotStep];
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      copy_padded(w + r * k + i, k - i, tail + r * kDotStep, kDotStep);
    }
    dot_step<kRows, kTokens>(tail, kDotStep, x + i, args.x_stride, sum);
  }
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 16
    for (int t = 0; t < kTokens; ++t) {
      y[t * args.y_stride + r] = sum_of(_mm256_add_ps(sum[r][t][0], sum[r][t][1]));
    }
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
  for (; r < args.rows; ++r) {
    dot_block<1, kTokens>(w + r * args.k_count, x, args, y + r);
  }
}

template <typename W>
void dot(const GemmDotArgs& args) {
  int64_t token = 0;
  for (; args.tokens - token > 4; token += args.tokens - token > 6 ? 4 : 3) {
    if (args.tokens - token > 6) {
      dot_rows<1, 4, W>(args, token);
    } else {
      dot_rows<1, 3, W>(args, token);
    }
  }
  switch (args.tokens - token) {
    case 4:
      return dot_rows<1, 4, W>(args, token);
    case 3:
      return dot_rows<1, 3, W>(args, token);
    case 2:
      return dot_rows<2, 2, W>(args, token);
    case 1:
      return dot_rows<4, 1, W>(args, token);
    default:
      return;
  }
}

}  // namespace

const GemmKernels kGemmAvx2 = {
    .slot_columns = 1,
    .panel_tokens = 2 * kLanes,
    .vector_tokens = kLanes,
    .row_block = 192,  // 32 tiles of 6 rows
    .pack = pack,
    .tile = tile,
    .store = store,
    .load_bf16 = load_bf16,
    .load_f32 = load_f32,
    .dot_f32 = dot<float>,
    .dot_bf16 = dot<uint16_t>,
};

}  // namespace quantlane::kernels
