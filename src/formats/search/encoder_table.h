// The table of block_encoders.h, of the code of this folder as the including file is compiled.
#pragma once
#include "formats/block_encoders.h"
#include "formats/search/e2m1_search.h"
#include "formats/search/e4m3_search.h"
#include "formats/search/feedback_search.h"
#include "formats/search/iq1_encoders.h"
#include "formats/search/iq2_encoders.h"
#include "formats/search/iq3_encoders.h"
#include "formats/search/k_encoders.h"
#include "formats/search/legacy_encoders.h"
#include "formats/search/low_bit_encoders.h"
#include "formats/search/other_encoders.h"
#include "formats/search/zero_point_search.h"

namespace quantlane {
namespace {

constexpr BlockEncoders kCompiledEncoders = {
    .q4_0 = encode_q4_0,
    .q4_1 = encode_q4_1,
    .q5_0 = encode_q5_0,
    .q5_1 = encode_q5_1,
    .q8_0 = encode_q8_0,
    .q2_k = encode_q2_k,
    .q3_k = encode_q3_k,
    .q4_k = encode_q4_k,
    .q5_k = encode_q5_k,
    .q6_k = encode_q6_k,
    .iq1_s = encode_iq1_s,
    .iq1_m = encode_iq1_m,
    .iq2_xxs = encode_iq2_xxs,
    .iq2_xs = encode_iq2_xs,
    .iq2_s = encode_iq2_s,
    .iq3_xxs = encode_iq3_xxs,
    .iq3_s = encode_iq3_s,
    .iq4_nl = encode_iq4_nl,
    .iq4_xs = encode_iq4_xs,
    .mxfp4 = encode_mxfp4,
    .nvfp4 = encode_nvfp4,
    .q1_0 = encode_q1_0,
    .q2_0 = encode_q2_0,
    .tq1_0 = encode_tq1_0,
    .tq2_0 = encode_tq2_0,
    .symmetric_sums = symmetric_sums<CodeRange>,
    .symmetric_errors = symmetric_errors<CodeRange>,
    .search_affine = search_affine,
    .search_zero_point = search_zero_point,
    .zero_point_errors = zero_point_errors,
    .e4m3_errors = e4m3_errors,
    .e2m1_errors = e2m1_errors,
    .feedback_costs = feedback_costs,
    .feedback_codes = feedback_codes,
};

}  // namespace
}  // namespace quantlane
