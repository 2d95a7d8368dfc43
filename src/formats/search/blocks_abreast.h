// Blocks of 32 with a binary16 scale and integer codes, as many side by side as a vector has lanes:
// lane l of every vector belongs to block l. So a pass over the values has no sums across lanes and
// costs the same few instructions for all of them, and each block gets the same bytes whatever the
// vector width. Internal linkage for the reason given in lanes.h.
#pragma once
#include <stdint.h>

#include "formats/search/symmetric_search.h"

namespace quantlane {
namespace {

constexpr int kAbreast = kVectorLanes;

// Lanes of a and b in turn: of their lower halves, of their upper halves.
#if defined(__AVX512F__)
inline LaneVector zip_low(const LaneVector& a, const LaneVector& b) {
  return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}
inline LaneVector zip_high(const LaneVector& a, const LaneVector& b) {
  return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15,
                                 31);
}
#elif defined(__AVX__)
inline LaneVector zip_low(const LaneVector& a, const LaneVector& b) {
  return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}
inline LaneVector zip_high(const LaneVector& a, const LaneVector& b) {
  return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}
#else
inline LaneVector zip_low(const LaneVector& a, const LaneVector& b) {
  return __builtin_shufflevector(a, b, 0, 4, 1, 5);
}
inline LaneVector zip_high(const LaneVector& a, const LaneVector& b) {
  return __builtin_shufflevector(a, b, 2, 6, 3, 7);
}
#endif

// Value c of row r becomes value r of row c. Zipping each row with the one half of the rows below
// moves the upper bit of the column to the row's number and the row's to the column's: after
// log2(kVectorLanes) rounds all have changed places.
inline void transpose_lanes(LaneVector (&rows)[kVectorLanes]) {
  constexpr int kHalf = kVectorLanes / 2;
  for (int size = 1; size < kVectorLanes; size *= 2) {
    LaneVector zipped[kVectorLanes];
    for (int r = 0; r < kHalf; ++r) {
      zipped[2 * r] = zip_low(rows[r], rows[r + kHalf]);
      zipped[2 * r + 1] = zip_high(rows[r], rows[r + kHalf]);
    }
    for (int r = 0; r < kVectorLanes; ++r) rows[r] = zipped[r];
  }
}

// Value i of `count` blocks (at most kAbreast) as lanes of x[i]; the other lanes are 0.
inline void load_abreast(const float* values, int count, LaneVector (&x)[kMaxBlock]) {
  for (int i = 0; i < kMaxBlock; i += kVectorLanes) {
    LaneVector rows[kVectorLanes];
    for (int b = 0; b < kAbreast; ++b) {
      rows[b] = b < count ? load_lanes(values + b * kMaxBlock + i) : LaneVector{};
    }
    transpose_lanes(rows);
    for (int r = 0; r < kVectorLanes; ++r) x[i + r] = rows[r];
  }
}

struct ExtremesAbreast {
  LaneVector low;
  LaneVector high;
};
inline ExtremesAbreast extremes_abreast(const LaneVector (&x)[kMaxBlock]) {
  ExtremesAbreast extremes{.low = x[0], .high = x[0]};
  for (int i = 1; i < kMaxBlock; ++i) {
    extremes.low = x[i] < extremes.low ? x[i] : extremes.low;
    extremes.high = extremes.high < x[i] ? x[i] : extremes.high;
  }
  return extremes;
}

// As power_of_two_below and inverse_power_of_two, of each lane.
inline LaneVector power_of_two_below(const LaneVector& magnitude) {
  IntLanes exponent = __builtin_bit_cast(IntLanes, magnitude) >> 23;
  exponent = exponent < 1 ? IntLanes{} + 1 : exponent;
  exponent = exponent > 253 ? IntLanes{} + 253 : exponent;
  return __builtin_bit_cast(LaneVector, exponent << 23);
}
inline LaneVector inverse_power_of_two(const LaneVector& power) {
  return __builtin_bit_cast(LaneVector, (254 << 23) - __builtin_bit_cast(IntLanes, power));
}
inline LaneVector square_root(const LaneVector& value) {
  float v[kVectorLanes];
  store_lanes(value, v);
  for (float& each : v) each = __builtin_sqrtf(each);
  return load_lanes(v);
}

// Values brought to the range of 1 and the weight of each one's error: prepare_block of each lane.
// Lanes without a value that a binary16 scale could show have extreme 0 and values 0.
struct BlocksAbreast {
  LaneVector x[kMaxBlock];
  LaneVector w[kMaxBlock];
  LaneVector unit;
  LaneVector extreme;  // the value of largest magnitude, in units
};

inline LaneVector inverse_or_zero(const LaneVector& value) {
  const LaneVector divisor = value == 0.0F ? LaneVector{} + 1.0F : value;
  return value == 0.0F ? LaneVector{} : 1.0F / divisor;
}

inline void weigh_abreast(const float* importance, int count, BlocksAbreast& blocks) {
  LaneVector sum{};
  for (const LaneVector& x : blocks.x) sum += x * x;
  const LaneVector mean_square = sum * (1.0F / kMaxBlock);
  for (int i = 0; i < kMaxBlock; ++i) {
    blocks.w[i] = square_root(mean_square + blocks.x[i] * blocks.x[i]);
  }
  if (importance == nullptr) return;
  LaneVector given[kMaxBlock];
  load_abreast(importance, count, given);
  const LaneVector largest = extremes_abreast(given).high;
  const LaneVector inverse = inverse_power_of_two(power_of_two_below(largest));
  for (int i = 0; i < kMaxBlock; ++i) {
    blocks.w[i] = largest > 0.0F ? given[i] * inverse : blocks.w[i];
  }
}

inline void prepare_abreast(const float* values, const float* importance, int count,
                            BlocksAbreast& blocks) {
  load_abreast(values, count, blocks.x);
  const ExtremesAbreast extremes = extremes_abreast(blocks.x);
  LaneVector extreme = extremes.high < -extremes.low ? extremes.low : extremes.high;
  const LaneVector magnitude = extreme < 0.0F ? -extreme : extreme;
  blocks.unit = power_of_two_below(magnitude);
  const LaneVector inverse =
      magnitude >= kSmallestMagnitude ? inverse_power_of_two(blocks.unit) : LaneVector{};
  blocks.extreme = extreme * inverse;
  for (LaneVector& x : blocks.x) x *= inverse;
  weigh_abreast(importance, count, blocks);
}

// The best of `kCount` scales, each refined to the least squares of its codes: the one that
// explains most of sum w x^2, which is (sum w x q)^2 / sum w q^2. 0 where none explains any.
struct BestAbreast {
  LaneVector scale{};
  LaneVector explained{};
};
template <int kCount>
inline void try_abreast(const BlocksAbreast& blocks, const CodeRange& codes,
                        const LaneVector (&inverse)[kCount], BestAbreast& best) {
  LaneVector xq[kCount] = {};
  LaneVector qq[kCount] = {};
  for (int i = 0; i < kMaxBlock; ++i) {
    const LaneVector x = blocks.x[i];
    const LaneVector w = blocks.w[i];
    const LaneVector wx = w * x;
    for (int c = 0; c < kCount; ++c) {
      const LaneVector q = round_lanes(x * inverse[c], codes.low, codes.high);
      xq[c] += wx * q;
      qq[c] += w * q * q;
    }
  }
  for (int c = 0; c < kCount; ++c) {
    const LaneVector divisor = qq[c] > 0.0F ? qq[c] : LaneVector{} + 1.0F;
    const LaneVector scale = xq[c] / divisor;
    const LaneVector explained = scale * xq[c];
    best.scale = explained > best.explained ? scale : best.scale;
    best.explained = explained > best.explained ? explained : best.explained;
  }
}

// Minimises sum w (x - scale * code)^2 of each lane: as search_symmetric_scale, half of the
// candidates put the extreme value at or around code `low`, half at or around `high`.
constexpr int kCandidatesAtOnce = 4;
inline LaneVector search_abreast(const BlocksAbreast& blocks, const CodeRange& codes, int rounds,
                                 float first_stretch, float step) {
  const LaneVector inverse_extreme = inverse_or_zero(blocks.extreme);
  BestAbreast best;
  for (int round = 0; round < rounds; ++round) {
    LaneVector inverse[kCandidatesAtOnce];
    for (int c = 0; c < kCandidatesAtOnce / 2; ++c) {
      const int number = round * kCandidatesAtOnce / 2 + c;
      const float stretch = first_stretch + static_cast<float>(number) * step;
      inverse[2 * c] = inverse_extreme * (stretch * codes.low);
      inverse[2 * c + 1] = inverse_extreme * (stretch * (codes.high + 0.5F));
    }
    try_abreast(blocks, codes, inverse, best);
  }
  const LaneVector refined[1] = {inverse_or_zero(best.scale)};
  try_abreast(blocks, codes, refined, best);
  return best.scale;
}

// What a type stores of the blocks: binary16 scales and codes counted from 0.
struct StoredAbreast {
  unsigned short d[kVectorLanes];
  IntLanes codes[kMaxBlock];
};

// How many of a row's blocks of 32 are encoded together from block `first` on.
inline int blocks_abreast(int64_t values, int64_t first) {
  const int64_t rest = values / kMaxBlock - first;
  return static_cast<int>(rest < kAbreast ? rest : kAbreast);
}

// `count` (at most kAbreast) blocks from block `first` on; `importance` may be null: then
// half of the candidates do, as the errors of a block's values count nearly alike.
inline StoredAbreast encode_abreast(const float* values, const float* importance, int64_t first,
                                    int count, const CodeRange& codes) {
  const int64_t offset = first * kMaxBlock;
  BlocksAbreast blocks;
  prepare_abreast(values + offset, importance == nullptr ? nullptr : importance + offset, count,
                  blocks);
  const LaneVector found = importance == nullptr ? search_abreast(blocks, codes, 2, 0.97F, 0.06F)
                                                 : search_abreast(blocks, codes, 4, 0.88F, 0.06F);
  StoredAbreast stored;
  float d[kVectorLanes];
  store_lanes(found * blocks.unit, d);
  for (int b = 0; b < kAbreast; ++b) {
    stored.d[b] = finite_f16_bits(d[b]);
    d[b] = f16_value(stored.d[b]);
  }
  const LaneVector inverse = inverse_or_zero(load_lanes(d)) * blocks.unit;
  for (int i = 0; i < kMaxBlock; ++i) {
    const LaneVector q = round_lanes(blocks.x[i] * inverse, codes.low, codes.high);
    stored.codes[i] = __builtin_convertvector(q - codes.low, IntLanes);
  }
  return stored;
}

// The four lower bits of all codes as q4_0 has them: byte j is value j and, above, value j + 16;
// words[k][b] are bytes 4 k to 4 k + 3 of block b.
inline void pack_nibbles_abreast(const IntLanes (&codes)[kMaxBlock],
                                 int (&words)[4][kVectorLanes]) {
  for (int k = 0; k < 4; ++k) {
    IntLanes word{};
    for (int j = 4 * k + 3; j >= 4 * k; --j) {
      word = (word << 8) | (codes[j] & 15) | ((codes[j + 16] & 15) << 4);
    }
    __builtin_memcpy(words[k], &word, sizeof word);
  }
}

// Bit i of word b is bit 4 of code i of block b.
inline void pack_fifth_bits_abreast(const IntLanes (&codes)[kMaxBlock],
                                    int (&words)[kVectorLanes]) {
  IntLanes word{};
  for (int i = kMaxBlock - 1; i >= 0; --i) word = (word << 1) | ((codes[i] >> 4) & 1);
  __builtin_memcpy(words, &word, sizeof word);
}

}  // namespace
}  // namespace quantlane
