// The steps of opening a checkpoint, for checkpoint*.cpp and for what judges a folder that cannot
// be opened.
#pragma once
#include <optional>
#include <string>

#include "containers/container.h"
#include "containers/dialects/dialect.h"
#include "model/graph.h"
#include "quantlane/result.h"

namespace quantlane {

// The parameters that config.json (`config`, read from `origin`) asks of the tensors of its folder;
// nullopt when the architecture is not known.
Result<std::optional<Graph>> folder_graph(const Json& config, const std::string& origin,
                                          const Container& container);

// Every parameter of `graph` is stored in `container` with its shape and a type that can be decoded
// (or, quantized, as `dialect` verifies), and no tensor of the decoder contradicts
// the configuration. `gguf`: tensors have GGUF names.
Result<void> verify_parameters(const Container& container, const Graph& graph, bool gguf,
                               const Dialect* dialect, const QuantizationMap* quantization);

// What GGUF metadata leave to the tensors: tied embeddings, biases, divisors of the RoPE
// frequencies.
Result<void> complete_gguf_config(const Container& container, ModelConfig& config);

}  // namespace quantlane
