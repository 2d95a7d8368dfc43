// What llama.cpp's kernels for processors round the inputs of a product to; which one goes with a
// type of weights is a field of its row (vec_dot_type in ggml-cpu.c). Its sums of products of codes
// are exact, so that rounding these inputs and multiplying in float gives its figures.
#pragma once
#include "formats/scheme.h"

namespace quantlane {

// Blocks of 32, the scale stored as binary16 (quantize_row_q8_0).
inline constexpr ActivationScheme kQ8_0Input{.granularity = Granularity::kGroup,
                                             .group_size = 32,
                                             .scale_dtype = DType::kF16,
                                             .ggml_codes = true};
// The same codes. Not reproduced: for the minimum of a block, llama.cpp takes the sum of its inputs
// rounded to binary16 (quantize_row_q8_1), a relative difference of at most 2^-11 in that term.
inline constexpr ActivationScheme kQ8_1Input = kQ8_0Input;
// Blocks of 256, the scale as float32 (quantize_row_q8_K).
inline constexpr ActivationScheme kQ8KInput{
    .granularity = Granularity::kGroup, .group_size = 256, .ggml_codes = true};
// Plain weights: inputs become what the weights are.
inline constexpr ActivationScheme kF16Input{.plain = DType::kF16};
inline constexpr ActivationScheme kBF16Input{.plain = DType::kBF16};

}  // namespace quantlane
