// The steps of opening a checkpoint, for checkpoint*.cpp only.
#pragma once
#include "containers/container.h"
#include "containers/dialects/dialect.h"
#include "model/graph.h"
#include "quantlane/result.h"

namespace quantlane {

// Every parameter of `graph` is stored in `container` with its shape and a type that can be decoded
// (or, quantized, as `dialect` verifies), and no tensor of the decoder contradicts
// the configuration. `gguf`: tensors have GGUF names.
Result<void> verify_parameters(const Container& container, const Graph& graph, bool gguf,
                               const Dialect* dialect, const QuantizationMap* quantization);

// What GGUF metadata leave to the tensors: tied embeddings, biases, divisors of the RoPE
// frequencies.
Result<void> complete_gguf_config(const Container& container, ModelConfig& config);

}  // namespace quantlane
