// The passes over a block that judge sixteen candidates: codes of every value under each candidate,
// and the sums from which errors and least-squares scales follow. Internal linkage for the reason
// given in lanes.h.
#pragma once
#include "formats/lanes.h"

namespace quantlane {
namespace {

// The codes of a symmetric format, as an overload set: nearest_code (lanes), nearest_index (of one
// value: the code as stored, from 0), code_value (of a stored code), lowest_code, highest_code.
// Here the integers of a range, half to even; fp4_and_nl_codes.h has others.
inline LaneVector nearest_code(const LaneVector& value, const CodeRange& range) {
  return round_lanes(value, range.low, range.high);
}
inline int nearest_index(float value, const CodeRange& range) {
  float q = value < range.high ? value : range.high;
  q = range.low < q ? q : range.low;
  q = (q + kRoundMagic) - kRoundMagic;
  return static_cast<int>(q - range.low);
}
inline float code_value(int index, const CodeRange& range) {
  return range.low + static_cast<float>(index);
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
  for (int h = 0; h < kLanes; h += kVectorLanes) {
    const LaneVector factor = load_lanes(inverse.v + h);
    const LaneVector shift = load_lanes(minimum.v + h);
    LaneVector sum_q{};
    LaneVector sum_qq{};
    LaneVector sum_xq{};
    for (int i = 0; i < count; ++i) {
      const LaneVector q = round_lanes((shift + x[i]) * factor, 0.0F, high_code);
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
      const LaneVector q = round_lanes(shifted * factor, 0.0F, high_code);
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
