// Sixteen candidate scales tried at once: lane l of every array belongs to candidate l, and each
// lane adds its terms in the order of the values. So the result is the same whatever the vector
// width, and this file may be compiled again for a wider instruction set without changing a byte.
// Internal linkage on purpose: an object built for AVX must not share functions with others.
#pragma once

namespace quantlane {
namespace {

constexpr int kLanes = 16;
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

struct alignas(64) Lanes {
  float v[kLanes];
};

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

// Code range of a format: codes are the integers low..high.
struct CodeRange {
  float low;
  float high;
};

// q = clamp(round(x * inverse)); xq = sum w x q, qq = sum w q^2.
inline void symmetric_sums(const float* x, const float* w, int count, const Lanes& inverse,
                           CodeRange range, Lanes& xq, Lanes& qq) {
  const LaneVector low = LaneVector{} + range.low;
  const LaneVector high = LaneVector{} + range.high;
  for (int h = 0; h < kLanes; h += kVectorLanes) {
    const LaneVector factor = load_lanes(inverse.v + h);
    LaneVector sum_xq{};
    LaneVector sum_qq{};
    for (int i = 0; i < count; ++i) {
      LaneVector q = clamp_lanes(factor * x[i], low, high);
      q = (q + kRoundMagic) - kRoundMagic;
      const LaneVector wq = q * w[i];
      sum_xq += wq * x[i];
      sum_qq += wq * q;
    }
    store_lanes(sum_xq, xq.v + h);
    store_lanes(sum_qq, qq.v + h);
  }
}

// The same with `scale` fixed: error = sum w (x - scale q)^2 besides the sums of the codes.
inline void symmetric_errors(const float* x, const float* w, int count, const Lanes& scale,
                             CodeRange range, Lanes& error, Lanes& xq, Lanes& qq) {
  const LaneVector low = LaneVector{} + range.low;
  const LaneVector high = LaneVector{} + range.high;
  for (int h = 0; h < kLanes; h += kVectorLanes) {
    const LaneVector step = load_lanes(scale.v + h);
    const LaneVector factor = step == 0.0F ? LaneVector{} : 1.0F / step;
    LaneVector sum_error{};
    LaneVector sum_xq{};
    LaneVector sum_qq{};
    for (int i = 0; i < count; ++i) {
      LaneVector q = clamp_lanes(factor * x[i], low, high);
      q = (q + kRoundMagic) - kRoundMagic;
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

struct AffineSums {
  Lanes error;  // sum w (scale q - minimum - x)^2; affine_errors only
  Lanes q;      // sum w q
  Lanes qq;     // sum w q^2
  Lanes xq;     // sum w x q
};

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

}  // namespace
}  // namespace quantlane
