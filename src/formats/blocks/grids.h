// Code books of the i-quants: the only combinations of levels that neighbouring values may take. A
// point is 16 bits from the first value up: 8 values of 2 bits each (iq1, iq2) or 4 values of 4
// bits (iq3), every one the number of a level. Facts from ggml-common.h of llama.cpp
// (scripts/make_grids.py). Plain data and C types only: the instruction-set objects include this
// header.
#pragma once
#include <stdint.h>

namespace quantlane {

extern const uint16_t kGridIq1[2048];
extern const uint16_t kGridIq2Xxs[256];
extern const uint16_t kGridIq2Xs[512];
extern const uint16_t kGridIq2S[1024];
extern const uint16_t kGridIq3Xxs[256];
extern const uint16_t kGridIq3S[512];

// Level of each number; iq2 and iq3 keep signs apart. iq1 adds +-kDeltaIq1 to its levels.
constexpr float kLevelsIq1[3] = {-1, 0, 1};
constexpr float kLevelsIq2[3] = {8, 25, 43};
constexpr float kLevelsIq3Xxs[8] = {4, 12, 20, 28, 36, 44, 52, 62};
constexpr float kLevelsIq3S[8] = {1, 3, 5, 7, 9, 11, 13, 15};
constexpr float kDeltaIq1 = 0.125F;

}  // namespace quantlane
