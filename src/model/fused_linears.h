// Linears that engines join into one product: q, k and v; gate and up; the experts of a layer.
#pragma once
#include <string>
#include <string_view>

namespace quantlane {

// The name that engines give to the product that the Linear `module` becomes part of
// ("….self_attn.qkv_proj" of q_proj), or the module itself.
std::string fused_name(std::string_view module);

// Is it a part of an expert of a layer?
bool is_of_expert(std::string_view module);
// As fused_name(); all Linears of all experts of a layer are one product ("….mlp.experts").
std::string fused_name_with_experts(std::string_view module);

}  // namespace quantlane
