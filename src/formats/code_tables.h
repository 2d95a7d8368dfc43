// Values of the codes of 4-bit formats that are no integers. Plain arrays with internal linkage,
// since the instruction-set objects include this header.
#pragma once

namespace quantlane {
namespace {

// FP4 E2M1 (OCP Microscaling Formats v1.0).
constexpr float kE2M1Values[16] = {0.0F,  0.5F,  1.0F,  1.5F,  2.0F,  3.0F,  4.0F,  6.0F,
                                   -0.0F, -0.5F, -1.0F, -1.5F, -2.0F, -3.0F, -4.0F, -6.0F};

// NF4 as bitsandbytes stores it (functional.py, get_4bit_type("nf4")).
constexpr float kNf4Values[16] = {-1.0F,
                                  -0.6961928009986877F,
                                  -0.5250730514526367F,
                                  -0.39491748809814453F,
                                  -0.28444138169288635F,
                                  -0.18477343022823334F,
                                  -0.09105003625154495F,
                                  0.0F,
                                  0.07958029955625534F,
                                  0.16093020141124725F,
                                  0.24611230194568634F,
                                  0.33791524171829224F,
                                  0.44070982933044434F,
                                  0.5626170039176941F,
                                  0.7229568362236023F,
                                  1.0F};

}  // namespace
}  // namespace quantlane
