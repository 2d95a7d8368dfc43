// Code sets that are not a range of integers: the table of iq4_nl and iq4_xs, and E2M1 (FP4) of
// mxfp4 and nvfp4 counted in halves. Overload set as described in candidate_sums.h, internal
// linkage for the reason given in lanes.h.
#pragma once
#include "formats/lanes.h"

namespace quantlane {

namespace {

struct NonLinearCodes {};
struct Fp4Codes {};

// ggml's kvalues_iq4nl, ascending; the stored code is the index.
constexpr float kNonLinearValues[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                        1,    13,   25,  38,  53,  69,  89,  113};
// ggml's kvalues_mxfp4: twice the E2M1 values; codes 8..15 are their negatives.
constexpr float kFp4Values[16] = {0, 1, 2, 3, 4, 6, 8, 12, -0.0F, -1, -2, -3, -4, -6, -8, -12};

constexpr float non_linear_threshold(int index) {
  return 0.5F * (kNonLinearValues[index] + kNonLinearValues[index + 1]);
}

inline LaneVector nearest_code(const LaneVector& value, const NonLinearCodes&) {
  LaneVector code = LaneVector{} + kNonLinearValues[0];
  for (int k = 0; k < 15; ++k) {
    const LaneVector next = LaneVector{} + kNonLinearValues[k + 1];
    code = value > LaneVector{} + non_linear_threshold(k) ? next : code;
  }
  return code;
}
inline int nearest_index(float value, const NonLinearCodes&) {
  int index = 0;
  for (int k = 0; k < 15; ++k) index += value > non_linear_threshold(k) ? 1 : 0;
  return index;
}
inline float code_value(int index, const NonLinearCodes&) { return kNonLinearValues[index]; }
inline float lowest_code(const NonLinearCodes&) { return -127; }
inline float highest_code(const NonLinearCodes&) { return 113; }

// Steps of 1 below 4, of 2 below 8, of 4 above; halves to the even code.
inline LaneVector nearest_code(const LaneVector& value, const Fp4Codes&) {
  const LaneVector limit = LaneVector{} + 12.0F;
  const LaneVector clamped = clamp_lanes(value, -limit, limit);
  const LaneVector magnitude = clamped < 0.0F ? -clamped : clamped;
  const LaneVector four = LaneVector{} + 4.0F * kRoundMagic;
  const LaneVector two = LaneVector{} + 2.0F * kRoundMagic;
  const LaneVector one = LaneVector{} + kRoundMagic;
  const LaneVector magic = magnitude < 4.0F ? one : (magnitude < 8.0F ? two : four);
  return (clamped + magic) - magic;
}
inline int nearest_index(float value, const Fp4Codes&) {
  const float magnitude = value < 0 ? -value : value;
  const float clamped = magnitude < 12.0F ? magnitude : 12.0F;
  const float magic = clamped < 4.0F   ? kRoundMagic
                      : clamped < 8.0F ? 2.0F * kRoundMagic
                                       : 4.0F * kRoundMagic;
  const float code = (clamped + magic) - magic;
  int index = 0;
  for (int k = 1; k < 8; ++k) index = code == kFp4Values[k] ? k : index;
  return value < 0 && index != 0 ? index + 8 : index;
}
inline float lowest_code(const Fp4Codes&) { return -12; }
inline float highest_code(const Fp4Codes&) { return 12; }

}  // namespace
}  // namespace quantlane
