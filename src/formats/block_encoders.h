// The searches behind the block encoders and the weighted fits, compiled once per instruction set
// from the same source; every row gives the same bytes. Plain data and C types only: the
// instruction-set objects include this header.
#pragma once
#include <stdint.h>

#include "formats/feedback_columns.h"
#include "formats/lanes.h"

namespace quantlane {

// values[count] -> blocks; `importance` (values[count]'s, or null) as in BlockFormat::encode.
using EncodeBlocks = void (*)(const float* values, const float* importance, int64_t count,
                              void* blocks);

struct BlockEncoders {
  EncodeBlocks q4_0;
  EncodeBlocks q4_1;
  EncodeBlocks q5_0;
  EncodeBlocks q5_1;
  EncodeBlocks q8_0;
  EncodeBlocks q2_k;
  EncodeBlocks q3_k;
  EncodeBlocks q4_k;
  EncodeBlocks q5_k;
  EncodeBlocks q6_k;
  EncodeBlocks iq1_s;
  EncodeBlocks iq1_m;
  EncodeBlocks iq2_xxs;
  EncodeBlocks iq2_xs;
  EncodeBlocks iq2_s;
  EncodeBlocks iq3_xxs;
  EncodeBlocks iq3_s;
  EncodeBlocks iq4_nl;
  EncodeBlocks iq4_xs;
  EncodeBlocks mxfp4;
  EncodeBlocks nvfp4;
  EncodeBlocks q1_0;
  EncodeBlocks q2_0;
  EncodeBlocks tq1_0;
  EncodeBlocks tq2_0;
  // For the group formats: candidate_sums.h, affine_search.h, zero_point_search.h,
  // e4m3_search.h, e2m1_search.h.
  void (*symmetric_sums)(const float* x, const float* w, int count, const Lanes& inverse,
                         const CodeRange& codes, Lanes& xq, Lanes& qq);
  void (*symmetric_errors)(const float* x, const float* w, int count, const Lanes& scale,
                           const CodeRange& codes, Lanes& error, Lanes& xq, Lanes& qq);
  AffineFit (*search_affine)(const float* x, const float* w, int count, const BlockMoments& moments,
                             float high_code, float lowest, int refinements, float* centred);
  ZeroPointFit (*search_zero_point)(const float* x, const float* w, int count, float high_code,
                                    float reach);
  void (*zero_point_errors)(const float* x, const float* w, int count, const Lanes& scale,
                            const Lanes& zero, float high_code, Lanes& error);
  void (*e4m3_errors)(const float* x, const float* w, int count, const Lanes& scale, Lanes& error);
  void (*e2m1_errors)(const float* x, const float* w, int count, const Lanes& scale, Lanes& error);
  // For blocks under error feedback: feedback_search.h.
  void (*feedback_costs)(const FeedbackColumns& columns, const Lanes& scale, const Lanes& minimum,
                         Lanes& cost);
  float (*feedback_codes)(const FeedbackColumns& columns, AffineFit fit, unsigned char* stored,
                          float* errors);
};

extern const BlockEncoders kBlockEncodersRef;
extern const BlockEncoders kBlockEncodersAvx2;
extern const BlockEncoders kBlockEncodersAvx512;

// What active_isa() allows; chosen once per process.
const BlockEncoders& block_encoders();

}  // namespace quantlane
