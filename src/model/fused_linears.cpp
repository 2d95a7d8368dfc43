#include "model/fused_linears.h"

#include <array>

namespace quantlane {
namespace {

constexpr std::string_view kExperts = ".experts.";

// Last parts of names.
struct FusedLinear {
  std::string_view part;
  std::string_view whole;
};
constexpr std::array kFusedLinears = {FusedLinear{"q_proj", "qkv_proj"},
                                      FusedLinear{"k_proj", "qkv_proj"},
                                      FusedLinear{"v_proj", "qkv_proj"},
                                      FusedLinear{"gate_proj", "gate_up_proj"},
                                      FusedLinear{"up_proj", "gate_up_proj"},
                                      FusedLinear{"w1", "w13"},
                                      FusedLinear{"w3", "w13"},
                                      FusedLinear{"q_a_proj", "fused_qkv_a_proj"},
                                      FusedLinear{"kv_a_proj_with_mqa", "fused_qkv_a_proj"}};

}  // namespace

std::string fused_name(std::string_view module) {
  const std::size_t last = module.rfind('.') + 1;  // 0 where there is none
  for (const FusedLinear& row : kFusedLinears) {
    if (module.substr(last) == row.part)
      return std::string(module.substr(0, last)) + std::string(row.whole);
  }
  return std::string(module);
}

bool is_of_expert(std::string_view module) {
  return module.find(kExperts) != std::string_view::npos;
}

std::string fused_name_with_experts(std::string_view module) {
  if (!is_of_expert(module)) return fused_name(module);
  return std::string(module.substr(0, module.find(kExperts) + kExperts.size() - 1));
}

}  // namespace quantlane
