// The layer in the name of a tensor, as GGUF and as Hugging Face spell it.
#pragma once
#include <cstdint>
#include <optional>
#include <string_view>

namespace quantlane {

struct LayerName {
  std::int64_t layer;
  std::string_view rest;  // of the name, behind the layer
};
// "blk.3.attn_q.weight" -> 3, "attn_q.weight"; "model.layers.3.mlp.up_proj" -> 3, "mlp.up_proj".
std::optional<LayerName> layer_in(std::string_view name);

}  // namespace quantlane
