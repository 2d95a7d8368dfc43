// Second moments for AVX-512 with bf16 products. See moments_kernels.h for the layouts.
#include "kernels/moments/moments_kernels.h"
#include "kernels/simd/lanes_avx512.inc"

namespace quantlane::kernels {
namespace {

// 16 columns of one token as bf16, in the lower halves.
inline __m512i rounded(const float* x, const float* minus, __mmask16 mask) {
  __m512 values = _mm512_maskz_loadu_ps(mask, x);
  if (minus != nullptr) values = _mm512_sub_ps(values, _mm512_maskz_loadu_ps(mask, minus));
  return _mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(values)));
}

void pack(const float* x, const float* minus, int64_t tokens, int64_t cols, int64_t width,
          uint32_t* panel) {
  for (int64_t t = 0; t < tokens; t += 2) {
    for (int64_t c = 0; c < kMomentPanel; c += kLanes) {
      const __mmask16 mask = lanes_below(width - c);
      const int64_t at = t * cols + c;
      __m512i pair = rounded(x + at, minus == nullptr ? nullptr : minus + at, mask);
      if (t + 1 < tokens) {
        const int64_t next = at + cols;
        const __m512i second = rounded(x + next, minus == nullptr ? nullptr : minus + next, mask);
        pair = _mm512_or_si512(pair, _mm512_slli_epi32(second, 16));
      }
      _mm512_store_si512(panel + t / 2 * kMomentPanel + c, pair);
    }
  }
}

void tile(const MomentTileArgs& args) {
  const __mmask16 low = lanes_below(args.width);
  const __mmask16 high = lanes_below(args.width - kLanes);
  __m512 sum[kMomentRows][2];
#pragma GCC unroll 8
  for (int r = 0; r < kMomentRows; ++r) {
    const bool there = r < args.rows;
    float* at = args.sums + (there ? r : 0) * args.stride;
    sum[r][0] = _mm512_maskz_loadu_ps(there ? low : 0, at);
    sum[r][1] = _mm512_maskz_loadu_ps(there ? high : 0, at + kLanes);
  }
  const uint32_t* left = args.left;
  const uint32_t* right = args.right;
  for (int64_t p = 0; p < args.pairs; ++p) {
    const __m512bh first = reinterpret_cast<__m512bh>(_mm512_load_si512(right));
    const __m512bh second = reinterpret_cast<__m512bh>(_mm512_load_si512(right + kLanes));
#pragma GCC unroll 8
    for (int r = 0; r < kMomentRows; ++r) {
      const __m512bh value =
          reinterpret_cast<__m512bh>(_mm512_set1_epi32(static_cast<int>(left[r])));
      sum[r][0] = _mm512_dpbf16_ps(sum[r][0], value, first);
      sum[r][1] = _mm512_dpbf16_ps(sum[r][1], value, second);
    }
    left += kMomentPanel;
    right += kMomentPanel;
  }
#pragma GCC unroll 8
  for (int r = 0; r < kMomentRows; ++r) {
    if (r >= args.rows) break;
    float* at = args.sums + r * args.stride;
    _mm512_mask_storeu_ps(at, low, sum[r][0]);
    _mm512_mask_storeu_ps(at + kLanes, high, sum[r][1]);
  }
}

}  // namespace

const MomentKernels kMomentsAvx512Bf16 = {.pack = pack, .tile = tile};

}  // namespace quantlane::kernels
