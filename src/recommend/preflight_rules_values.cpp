// Pre-flight: what scales and zero points hold.
#include <array>

#include "recommend/preflight_rules.h"

namespace quantlane {
namespace {

using namespace preflight_parts;  // NOLINT(google-build-using-namespace): the words of the rules

Found bad_scales(const Facts& f, const Target&) {
  return first_linear(f, [](const LinearFacts& linear) {
    return when(!linear.bad_scale.empty(), linear.bad_scale);
  });
}

Found bad_codes(const Facts& f, const Target&) {
  return first_linear(
      f, [](const LinearFacts& linear) { return when(!linear.bad_code.empty(), linear.bad_code); });
}

Found unequal_globals(const Facts& f, const Target&) {
  return first_product(f, [](const FusedLinears& product) -> Found {
    if (product.experts) return std::nullopt;
    const LinearFacts& first = *product.shards.front();
    for (const LinearFacts* shard : product.shards) {
      if (!shard->scheme || !is_nvfp4(*shard->scheme)) continue;
      if (shard->tensor_scale != first.tensor_scale) return "scales of the weights differ";
      if (shard->input_scale != first.input_scale) return "scales of the inputs differ";
    }
    return std::nullopt;
  });
}

Found ordered_groups(const Facts& f, const Target& t) {
  if (t.older_than("0.30.0")) return std::nullopt;
  if (f.dialect != "compressed-tensors") return std::nullopt;
  return first_linear(
      f, [](const LinearFacts& linear) { return when(linear.stored_order, "weight_g_idx"); });
}

constexpr std::array kValueRules = {
    PreflightRule{"bad-scale", "*", PreflightEffect::kWrong,
                  "a scale that is zero, not finite or (FP4, inputs) negative makes NaN or silence "
                  "of its weights",
                  "quantize again", "quantlane inspect", bad_scales},
    PreflightRule{"bad-code", "*", PreflightEffect::kWrong,
                  "a code that is NaN makes NaN of every output", "quantize again",
                  "quantlane inspect", bad_codes},
    PreflightRule{"nvfp4-shared-scale", "vllm", PreflightEffect::kWrong,
                  "the largest scale of the joined Linears is used for all, without rescaling",
                  "give q, k and v (gate and up) one scale of the tensor",
                  "vLLM 0.32.0 compressed_tensors_w4a4_nvfp4.py: weight_global_scale.max(), \"will "
                  "likely result in reduced accuracy\"",
                  unequal_globals},
    PreflightRule{"ct-group-order", "vllm", PreflightEffect::kRefuse,
                  "groups in the order of activations are no longer loaded (since 0.30.0)",
                  "quantize with static act-order (no weight_g_idx)",
                  "vLLM 0.32.0 compressed_tensors.py: \"group/dynamic activation ordering ... is "
                  "no longer supported\"",
                  ordered_groups},
};

}  // namespace

std::span<const PreflightRule> preflight_value_rules() { return kValueRules; }

}  // namespace quantlane
