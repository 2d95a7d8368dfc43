// Vectors of bytes for grid_search.h, where the instruction set has a look-up of bytes. Internal
// linkage for the reason given in lanes.h.
#pragma once
#if defined(__AVX2__)
#include <immintrin.h>
#include <stdint.h>

namespace quantlane {
namespace {

// A look-up reads within 128 bits, so tables are repeated in all of them.
#if defined(__AVX512BW__)
using ByteVector = __m512i;
constexpr int kByteLanes = 64;

inline ByteVector load_bytes(const void* source) { return _mm512_loadu_si512(source); }
inline ByteVector all_bytes(unsigned value) { return _mm512_set1_epi8(static_cast<char>(value)); }
// With a mask: gcc 12 warns of uninitialised values inside the form without one.
inline ByteVector repeat_bytes(const __m128i& bytes) {
  return _mm512_maskz_broadcast_i32x4(0xFFFF, bytes);
}
inline ByteVector look_up(const ByteVector& table, const ByteVector& places) {
  return _mm512_shuffle_epi8(table, places);
}
inline ByteVector add_bytes(const ByteVector& a, const ByteVector& b) {
  return _mm512_adds_epu8(a, b);
}
inline ByteVector lower_bytes(const ByteVector& a, const ByteVector& b) {
  return _mm512_min_epu8(a, b);
}
// Where a < b: `then`, elsewhere `otherwise`.
inline ByteVector where_lower(const ByteVector& a, const ByteVector& b, const ByteVector& then,
                              const ByteVector& otherwise) {
  return _mm512_mask_mov_epi8(otherwise, _mm512_cmplt_epu8_mask(a, b), then);
}
inline uint64_t equal_bytes(const ByteVector& a, const ByteVector& b) {
  return _mm512_cmpeq_epu8_mask(a, b);
}
inline __m128i lower_quarters(const ByteVector& bytes) {
  const __m256i half = _mm256_min_epu8(_mm512_maskz_extracti64x4_epi64(0xF, bytes, 0),
                                       _mm512_maskz_extracti64x4_epi64(0xF, bytes, 1));
  return _mm_min_epu8(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}
#else
using ByteVector = __m256i;
constexpr int kByteLanes = 32;

inline ByteVector load_bytes(const void* source) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(source));
}
inline ByteVector all_bytes(unsigned value) { return _mm256_set1_epi8(static_cast<char>(value)); }
inline ByteVector repeat_bytes(const __m128i& bytes) { return _mm256_broadcastsi128_si256(bytes); }
inline ByteVector look_up(const ByteVector& table, const ByteVector& places) {
  return _mm256_shuffle_epi8(table, places);
}
inline ByteVector add_bytes(const ByteVector& a, const ByteVector& b) {
  return _mm256_adds_epu8(a, b);
}
inline ByteVector lower_bytes(const ByteVector& a, const ByteVector& b) {
  return _mm256_min_epu8(a, b);
}
// Where a < b: `then`, elsewhere `otherwise`.
inline ByteVector where_lower(const ByteVector& a, const ByteVector& b, const ByteVector& then,
                              const ByteVector& otherwise) {
  return _mm256_blendv_epi8(then, otherwise, _mm256_cmpeq_epi8(_mm256_max_epu8(a, b), a));
}
inline uint64_t equal_bytes(const ByteVector& a, const ByteVector& b) {
  return static_cast<unsigned>(_mm256_movemask_epi8(_mm256_cmpeq_epi8(a, b)));
}
inline __m128i lower_quarters(const ByteVector& bytes) {
  return _mm_min_epu8(_mm256_castsi256_si128(bytes), _mm256_extracti128_si256(bytes, 1));
}
#endif

inline unsigned lowest_byte(const ByteVector& bytes) {
  const __m128i quarter = lower_quarters(bytes);
  const __m128i pairs = _mm_min_epu8(quarter, _mm_srli_epi16(quarter, 8));
  return static_cast<unsigned>(_mm_cvtsi128_si32(_mm_minpos_epu16(pairs))) & 255;
}

// Sixteen costs * scale, rounded, at most 255, in every 128 bits.
inline ByteVector scaled_bytes(const float* costs, float scale) {
  __m128i words[4];
  for (int i = 0; i < 4; ++i) {
    const __m128 scaled =
        _mm_add_ps(_mm_mul_ps(_mm_loadu_ps(costs + 4 * i), _mm_set1_ps(scale)), _mm_set1_ps(0.5F));
    words[i] = _mm_cvttps_epi32(_mm_min_ps(scaled, _mm_set1_ps(255.0F)));
  }
  return repeat_bytes(
      _mm_packus_epi16(_mm_packs_epi32(words[0], words[1]), _mm_packs_epi32(words[2], words[3])));
}

}  // namespace
}  // namespace quantlane
#endif
