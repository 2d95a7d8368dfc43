// The parts of the table of pre-flight rules, and what their predicates share.
#pragma once
#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "model/fused_linears.h"
#include "recommend/preflight.h"

namespace quantlane {

// Does the configuration agree with the tensors? Asked of what is stored alone: without an engine
// too (find_contradictions).
std::span<const PreflightRule> preflight_agreement_rules();
std::span<const PreflightRule> preflight_config_rules();     // is the configuration complete?
std::span<const PreflightRule> preflight_shape_rules();      // divisibility, before and after TP
std::span<const PreflightRule> preflight_value_rules();      // what the tensors hold
std::span<const PreflightRule> preflight_kv_rules();         // the key-value cache
std::span<const PreflightRule> preflight_attention_rules();  // … and what attends to it
std::span<const PreflightRule> preflight_kernel_rules();     // has the device a kernel?
std::span<const PreflightRule> preflight_engine_rules();     // limits of single engines
std::span<const PreflightRule> preflight_online_rules();     // schemes made while loading
std::span<const PreflightRule> preflight_sglang_rules();
std::span<const PreflightRule> preflight_tgi_rules();
std::span<const PreflightRule> preflight_tensorrt_llm_rules();

namespace preflight_parts {

using Facts = ArtefactFacts;
using Target = EngineTarget;
using Found = std::optional<std::string>;

// Among words joined by blanks; "*" = any.
inline bool has_word(std::string_view words, std::string_view word) {
  if (words == "*") return true;
  while (!words.empty()) {
    const std::size_t end = std::min(words.find(' '), words.size());
    if (words.substr(0, end) == word) return true;
    words.remove_prefix(std::min(end + 1, words.size()));
  }
  return false;
}

inline bool is_ct(const Facts& f) { return f.dialect == "compressed-tensors"; }
inline bool is_gptq(const Facts& f) { return f.dialect == "gptq" || f.dialect == "gptq_v2"; }

inline bool is_int(const LinearScheme& s) { return s.weight.type == ValueType::kInt; }
inline bool is_weight_only_int(const LinearScheme& s) { return is_int(s) && !s.input; }
inline bool is_int8_w8a8(const LinearScheme& s) {
  return is_int(s) && s.weight.bits == 8 && s.input && s.input->type == ValueType::kInt;
}
inline bool is_shared_exponent(const LinearScheme& s) {
  return s.weight.type == ValueType::kFloat && s.weight.scale_dtype == DType::kF8E8M0;
}
inline bool is_fp8(const LinearScheme& s) {
  return s.weight.type == ValueType::kFloat && s.weight.bits == 8 && !is_shared_exponent(s);
}
inline bool is_fp8_block(const LinearScheme& s) {
  return is_fp8(s) && s.weight.granularity == Granularity::kBlock;
}
inline bool is_nvfp4(const LinearScheme& s) {
  return s.weight.type == ValueType::kFloat && s.weight.tensor_scale != TensorScale::kNone;
}
inline bool is_mxfp4(const LinearScheme& s) { return is_shared_exponent(s) && s.weight.bits == 4; }
inline bool is_nf4(const LinearScheme& s) { return s.weight.type == ValueType::kNormalFloat; }
// INT4 weights, FP8 activations.
inline bool is_w4afp8(const LinearScheme& s) {
  return is_int(s) && s.weight.bits == 4 && s.input && s.input->type == ValueType::kFloat;
}

inline bool is_expert(const LinearFacts& linear) { return is_of_expert(linear.module); }
// Modules that choose experts, which engines build plain.
inline bool is_router(std::string_view module) {
  return module.ends_with(".gate") || module.ends_with(".router") ||
         module.ends_with(".shared_expert_gate");
}

// What `breaks` says of the first item that it names, "and 29 more".
template <class Items, class Breaks>
Found first_of(const Items& items, const Breaks& breaks) {
  std::int64_t count = 0;
  Found first;
  for (const auto& item : items) {
    const Found why = breaks(item);
    if (why && count++ == 0) first = why;
  }
  if (count > 1) *first += ", and " + std::to_string(count - 1) + " more";
  return first;
}
// "model.layers.0.mlp.down_proj: INT …, and 29 more", of the Linears that `breaks` names.
template <class Breaks>
Found first_linear(const Facts& facts, const Breaks& breaks) {
  return first_of(facts.linears, [&](const LinearFacts& linear) -> Found {
    const Found why = breaks(linear);
    if (!why) return std::nullopt;
    return linear.module + (why->empty() ? "" : ": " + *why);
  });
}

// The first Linear whose scheme `is` matches, by its spelling.
template <class Is>
Found first_scheme(const Facts& facts, const Is& is) {
  return first_linear(facts, [&](const LinearFacts& linear) -> Found {
    if (!linear.scheme || !is(*linear.scheme)) return std::nullopt;
    return linear.scheme->weight.spelling();
  });
}

inline Found static_int8_inputs(const Facts& facts, const Target&) {
  return first_scheme(facts,
                      [](const LinearScheme& s) { return is_int8_w8a8(s) && !s.input->dynamic; });
}

// Groups that Marlin has: 32, 64, 128 and whole rows.
inline bool is_marlin_group(const LinearScheme& s) {
  const int group = s.weight.granularity == Granularity::kGroup ? s.weight.group_size : 32;
  return group == 32 || group == 64 || group == 128;
}

// The same over products of fused Linears.
template <class Breaks>
Found first_product(const Facts& facts, const Breaks& breaks) {
  std::int64_t count = 0;
  Found first;
  for (const FusedLinears& product : facts.fused()) {
    const Found why = breaks(product);
    if (!why) continue;
    if (count++ == 0) first = product.name + (why->empty() ? "" : ": " + *why);
  }
  if (count > 1) *first += ", and " + std::to_string(count - 1) + " more";
  return first;
}

inline Found when(bool broken, std::string detail) {
  return broken ? Found(std::move(detail)) : std::nullopt;
}

// Output rows of one rank. Keys and values are repeated where there are fewer heads than ranks.
std::int64_t rows_of_rank(const Facts& facts, const LinearFacts& linear, Split split,
                          std::int64_t ranks);
std::int64_t cols_of_rank(const LinearFacts& linear, Split split, std::int64_t ranks);

}  // namespace preflight_parts
}  // namespace quantlane
