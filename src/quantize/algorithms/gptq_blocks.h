// The block part of gptq.h: error feedback into ggml blocks.
#pragma once
#include <cstddef>
#include <cstdint>

#include "quantize/algorithms/algorithm.h"

namespace quantlane {

// Algorithm::encode of kGptqRounding; without inputs.feedback that of kWeighted.
void encode_blocks_with_feedback(const BlockFormat& format, const float* values, std::int64_t rows,
                                 std::int64_t cols, const LinearInputs& inputs, std::byte* blocks);

}  // namespace quantlane
