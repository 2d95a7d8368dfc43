// Sixteen candidate scales tried at once: lane l of every array belongs to candidate l, and each
// lane adds its terms in the order of the values. So the result is the same whatever the vector
// width, and this file may be compiled again for a wider instruction set without changing a byte.
// Internal linkage on purpose: an object built for AVX must not share functions with others.
#pragma once

namespace quantlane {

constexpr int kLanes = 16;

struct alignas(64) Lanes {
  float v[kLanes];
};

// Code range of a format: codes are the integers low..high.
struct CodeRange {
  float low;
  float high;
};

struct AffineSums {
  Lanes error;  // sum w (scale q - minimum - x)^2; affine_errors only
  Lanes q;      // sum w q
  Lanes qq;     // sum w q^2
  Lanes xq;     // sum w x q
};

// values = scale * code - minimum
struct AffineFit {
  float scale = 0;
  float minimum = 0;
};

struct BlockMoments {
  float low;
  float high;
  float weight;  // sum w
  float mean;    // sum w x / sum w; the middle where all weights are 0
};

namespace {

#if defined(__AVX512F__)
constexpr int kVectorLanes = 16;
#elif defined(__AVX__)
constexpr int kVectorLanes = 8;
#else
constexpr int kVectorLanes = 4;
#endif
using LaneVector [[gnu::vector_size(kVectorLanes * 4)]] = float;
// 1.5 * 2^23: adding and subtracting it rounds half to even; |value| must stay below 2^22.
constexpr float kRoundMagic = 12582912.0F;

inline LaneVector load_lanes(const float* source) {
  LaneVector lanes;
  __builtin_memcpy(&lanes, source, sizeof lanes);
  return lanes;
}
inline void store_lanes(const LaneVector& lanes, float* target) {
  __builtin_memcpy(target, &lanes, sizeof lanes);
}
inline LaneVector clamp_lanes(LaneVector value, const LaneVector& low, const LaneVector& high) {
  value = value < high ? value : high;
  return low < value ? value : low;
}

// In pairs at distance 8, 4, 2, 1.
inline float sum_lanes(const Lanes& terms) {
  const float* v = terms.v;
  const float a = (v[0] + v[8]) + (v[4] + v[12]);
  const float b = (v[1] + v[9]) + (v[5] + v[13]);
  const float c = (v[2] + v[10]) + (v[6] + v[14]);
  const float d = (v[3] + v[11]) + (v[7] + v[15]);
  return (a + c) + (b + d);
}
inline float higher(float a, float b) { return a < b ? b : a; }
inline float highest_lane(const Lanes& values) {
  LaneVector highest = load_lanes(values.v);
  for (int h = kVectorLanes; h < kLanes; h += kVectorLanes) {
    const LaneVector next = load_lanes(values.v + h);
    highest = highest < next ? next : highest;
  }
  float v[kVectorLanes];
  store_lanes(highest, v);
  float result = higher(higher(v[0], v[1]), higher(v[2], v[3]));
  for (int l = 4; l < kVectorLanes; l += 4) {
    result = higher(result, higher(higher(v[l], v[l + 1]), higher(v[l + 2], v[l + 3])));
  }
  return result;
}
// The first lane that holds the largest (smallest) value; no lane may be NaN.
inline int index_of_largest(const Lanes& lanes) {
  const float highest = highest_lane(lanes);
  unsigned found = 0;
  for (int l = 0; l < kLanes; ++l) found |= lanes.v[l] == highest ? 1U << l : 0U;
  return __builtin_ctz(found | 1U << (kLanes - 1));
}
inline int index_of_smallest(const Lanes& lanes) {
  Lanes negated;
  for (int h = 0; h < kLanes; h += kVectorLanes) {
    store_lanes(-load_lanes(lanes.v + h), negated.v + h);
  }
  return index_of_largest(negated);
}

// Extremes and sums of a block. Lane l takes the values l, l + 16, ..., whatever the vector width.
struct BlockExtremes {
  float low;
  float high;
};
inline BlockExtremes block_extremes(const float* x, int count) {
  Lanes low;
  Lanes high;
  const int whole = count / kLanes * kLanes;
  for (int h = 0; h < kLanes; h += kVectorLanes) {
    LaneVector lowest = LaneVector{} + x[0];
    LaneVector highest = lowest;
    for (int i = h; i < whole; i += kLanes) {
      const LaneVector value = load_lanes(x + i);
      lowest = value < lowest ? value : lowest;
      highest = highest < value ? value : highest;
    }
    store_lanes(-lowest, low.v + h);
    store_lanes(highest, high.v + h);
  }
  BlockExtremes extremes{.low = -highest_lane(low), .high = highest_lane(high)};
  for (int i = whole; i < count; ++i) {
    extremes.low = x[i] < extremes.low ? x[i] : extremes.low;
    extremes.high = extremes.high < x[i] ? x[i] : extremes.high;
  }
  return extremes;
}
inline float largest_magnitude(const float* x, int count) {
  const BlockExtremes extremes = block_extremes(x, count);
  return extremes.high < -extremes.low ? -extremes.low : extremes.high;
}
// sum w, and sum w x.
inline void weighted_sums(const float* x, const float* w, int count, float& weight, float& moment) {
  Lanes weights;
  Lanes moments;
  const int whole = count / kLanes * kLanes;
  for (int h = 0; h < kLanes; h += kVectorLanes) {
    LaneVector sum_w{};
    LaneVector sum_wx{};
    for (int i = h; i < whole; i += kLanes) {
      const LaneVector weight_of_value = load_lanes(w + i);
      sum_w += weight_of_value;
      sum_wx += weight_of_value * load_lanes(x + i);
    }
    store_lanes(sum_w, weights.v + h);
    store_lanes(sum_wx, moments.v + h);
  }
  weight = sum_lanes(weights);
  moment = sum_lanes(moments);
  for (int i = whole; i < count; ++i) {
    weight += w[i];
    moment += w[i] * x[i];
  }
}

// The codes of a symmetric format, as an overload set: nearest_code (lanes), nearest_index (of one
// value: the code as stored, from 0), lowest_code, highest_code. Here the integers of a range, half
// to even; fp4_and_nl_codes.h has others.
inline LaneVector nearest_code(const LaneVector& value, const CodeRange& range) {
  const LaneVector low = LaneVector{} + range.low;
  const LaneVector high = LaneVector{} + range.high;
  return (clamp_lanes(value, low, high) + kRoundMagic) - kRoundMagic;
}
inline int nearest_index(float value, const CodeRange& range) {
  float q = value < range.high ? value : range.high;
  q = range.low < q ? q : range.low;
  q = (q + kRoundMagic) - kRoundMagic;
  return static_cast<int>(q - range.low);
}
inline float lowest_code(const CodeRange& range) { return range.low; }
inline float highest_code(const CodeRange& range) { return range.high; }

// q = nearest code of x * inverse; xq = sum w x q, qq = sum w q^2.
template <class Codes>
inline void symmetric_sums(const float* x, const float* w, int count, const Lanes& inverse,
                           const Codes& codes, Lanes& xq, Lanes& qq) {
  for (int h = 0; h < kLanes; h += kVectorLanes) {
    const LaneVector factor = load_lanes(inverse.v + h);
    LaneVector sum_xq{};
    LaneVector sum_qq{};
    for (int i = 0; i < count; ++i) {
      const LaneVector q = nearest_code(factor * x[i], codes);
      const LaneVector wq = q * w[i];
      sum_xq += wq * x[i];
      sum_qq += wq * q;
    }
    store_lanes(sum_xq, xq.v + h);
    store_lanes(sum_qq, qq.v + h);
  }
}

// The same with `scale` fixed: error = sum w (x - scale q)^2 besides the sums of the codes.
template <class Codes>
inline void symmetric_errors(const float* x, const float* w, int count, const Lanes& scale,
                             const Codes& codes, Lanes& error, Lanes& xq, Lanes& qq) {
  for (int h = 0; h < kLanes; h += kVectorLanes) {
    const LaneVector step = load_lanes(scale.v + h);
    const LaneVector factor = step == 0.0F ? LaneVector{} : 1.0F / step;
    LaneVector sum_error{};
    LaneVector sum_xq{};
    LaneVector sum_qq{};
    for (int i = 0; i < count; ++i) {
      const LaneVector q = nearest_code(factor * x[i], codes);
      const LaneVector difference = step * q - x[i];
      const LaneVector wq = q * w[i];
      sum_error += difference * difference * w[i];
      sum_xq += wq * x[i];
      sum_qq += wq * q;
    }
    store_lanes(sum_error, error.v + h);
    store_lanes(sum_xq, xq.v + h);
    store_lanes(sum_qq, qq.v + h);
  }
}

// q = clamp(round((x + minimum) * inverse), 0, high); x here may be any shifted copy of the values.
inline void affine_sums(const float* x, const float* w, int count, const Lanes& inverse,
                        const Lanes& minimum, float high_code, AffineSums& sums) {
  const LaneVector high = LaneVector{} + high_code;
  for (int h = 0; h < kLanes; h += kVectorLanes) {
    const LaneVector factor = load_lanes(inverse.v + h);
    const LaneVector shift = load_lanes(minimum.v + h);
    LaneVector sum_q{};
    LaneVector sum_qq{};
    LaneVector sum_xq{};
    for (int i = 0; i < count; ++i) {
      LaneVector q = clamp_lanes((shift + x[i]) * factor, LaneVector{}, high);
      q = (q + kRoundMagic) - kRoundMagic;
      const LaneVector wq = q * w[i];
      sum_q += wq;
      sum_qq += wq * q;
      sum_xq += wq * x[i];
    }
    store_lanes(sum_q, sums.q.v + h);
    store_lanes(sum_qq, sums.qq.v + h);
    store_lanes(sum_xq, sums.xq.v + h);
  }
}

// The same with scale and minimum fixed, and the error of each candidate.
inline void affine_errors(const float* x, const float* w, int count, const Lanes& scale,
                          const Lanes& minimum, float high_code, AffineSums& sums) {
  const LaneVector high = LaneVector{} + high_code;
  for (int h = 0; h < kLanes; h += kVectorLanes) {
    const LaneVector step = load_lanes(scale.v + h);
    const LaneVector shift = load_lanes(minimum.v + h);
    const LaneVector factor = step == 0.0F ? LaneVector{} : 1.0F / step;
    LaneVector sum_error{};
    LaneVector sum_q{};
    LaneVector sum_qq{};
    LaneVector sum_xq{};
    for (int i = 0; i < count; ++i) {
      const LaneVector shifted = shift + x[i];
      LaneVector q = clamp_lanes(shifted * factor, LaneVector{}, high);
      q = (q + kRoundMagic) - kRoundMagic;
      const LaneVector difference = step * q - shifted;
      const LaneVector wq = q * w[i];
      sum_error += difference * difference * w[i];
      sum_q += wq;
      sum_qq += wq * q;
      sum_xq += wq * x[i];
    }
    store_lanes(sum_error, sums.error.v + h);
    store_lanes(sum_q, sums.q.v + h);
    store_lanes(sum_qq, sums.qq.v + h);
    store_lanes(sum_xq, sums.xq.v + h);
  }
}

// Integers of `count` floats that are whole numbers in 0..255; without conditions, so that every
// compiler vectorises it.
inline void store_codes(const float* whole, int count, unsigned char* codes) {
  for (int i = 0; i < count; ++i) codes[i] = static_cast<unsigned char>(static_cast<int>(whole[i]));
}

}  // namespace
}  // namespace quantlane
