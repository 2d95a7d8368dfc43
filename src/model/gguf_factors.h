// Factors beside matrices of GGUF files: llama.cpp multiplies the products of "X.weight" with what
// "X.scale" holds, one value, or one per expert (src/llama-model.cpp, "generic pass"). NVFP4 files
// have them, as blocks have no room for the scale of a tensor.
#pragma once
#include <string>
#include <string_view>

#include "containers/container.h"
#include "model/graph.h"
#include "quantlane/result.h"

namespace quantlane {

// "blk.0.attn_q.weight" -> "blk.0.attn_q.scale".
std::string factor_name(std::string_view tensor);

// Every ".scale" tensor belongs to a Linear of the blocks and holds finite float32 values, as many
// as it needs. kUnsupported, kCorrupt.
Result<void> verify_factors(const Container& container, const Graph& graph);

// What the rows of `parameter`, a part of the tensor `stored`, are multiplied with; 1 where nothing
// is beside it. The file has been verified.
float factor_beside(const Container& container, const Parameter& parameter,
                    const TensorInfo& stored);

}  // namespace quantlane
