#include "formats/block_encoders.h"
#include "formats/e4m3_search.h"
#include "formats/k_encoders.h"
#include "formats/legacy_encoders.h"

namespace quantlane {

const BlockEncoders kBlockEncodersAvx512 = {
    .q4_0 = encode_q4_0,
    .q4_1 = encode_q4_1,
    .q5_0 = encode_q5_0,
    .q5_1 = encode_q5_1,
    .q2_k = encode_q2_k,
    .q3_k = encode_q3_k,
    .q4_k = encode_q4_k,
    .q5_k = encode_q5_k,
    .q6_k = encode_q6_k,
    .symmetric_sums = symmetric_sums,
    .symmetric_errors = symmetric_errors,
    .affine_errors = affine_errors,
    .search_affine = search_affine,
    .e4m3_errors = e4m3_errors,
};

}  // namespace quantlane
