// Small artefacts for the tests of the pre-flight: one block of a Llama, as an engine sees it.
#pragma once
#include <algorithm>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>

#include "recommend/preflight.h"

namespace quantlane::test_facts {

inline LinearScheme scheme(std::string_view weight, std::string_view input = "") {
  LinearScheme s{.weight = Scheme::parse(weight).value(), .input = std::nullopt};
  if (!input.empty()) s.input = ActivationScheme::parse(input).value();
  return s;
}

// 8 heads of 64, 4 of keys and values, hidden 512, feed-forward 1024; every Linear of the block has
// `linear`, the head none.
inline ArtefactFacts block(std::string_view dialect, const LinearScheme& linear) {
  ArtefactFacts f;
  f.container = "safetensors";
  f.dialect = dialect;
  f.method = dialect == "gptq_v2" ? "gptq" : std::string(dialect);
  f.config = Json::parse(R"({"num_attention_heads": 8, "num_key_value_heads": 4})", "t").value();
  f.quantization = Json::object({{"quant_method", f.method}});
  f.has_values = true;
  struct Row {
    std::string_view name;
    std::int64_t rows, cols;
  };
  for (const Row& row : {Row{"self_attn.q_proj", 512, 512}, Row{"self_attn.k_proj", 256, 512},
                         Row{"self_attn.v_proj", 256, 512}, Row{"self_attn.o_proj", 512, 512},
                         Row{"mlp.gate_proj", 1024, 512}, Row{"mlp.up_proj", 1024, 512},
                         Row{"mlp.down_proj", 512, 1024}}) {
    const std::string module = "model.layers.0." + std::string(row.name);
    f.linears.push_back({.module = module, .rows = row.rows, .cols = row.cols, .scheme = linear});
    f.tensors.push_back(module + ".weight_packed");
    f.tensors.push_back(module + ".weight_scale");
  }
  f.linears.push_back({.module = "lm_head", .rows = 1000, .cols = 512, .scheme = std::nullopt});
  f.tensors.push_back("lm_head.weight");
  return f;
}

inline ArtefactFacts compressed(std::string_view weight, std::string_view input = "") {
  ArtefactFacts f = block("compressed-tensors", scheme(weight, input));
  f.quantization.set("format", "any");
  f.quantization.set("config_groups", Json::object({{"group_0", Json::object({})}}));
  return f;
}

inline ArtefactFacts gptq(std::string_view weight) {
  ArtefactFacts f = block("gptq", scheme(weight));
  for (const char* key : {"bits", "group_size", "desc_act", "sym"}) f.quantization.set(key, 1);
  return f;
}

inline ArtefactFacts plain() {
  ArtefactFacts f = compressed("int4_g128_sym");
  f.dialect.clear();
  f.method.clear();
  f.quantization = Json();
  for (LinearFacts& linear : f.linears) linear.scheme.reset();
  return f;
}

inline ArtefactFacts bitsandbytes() {
  ArtefactFacts f = block("bitsandbytes", scheme("nf4_g64"));
  f.quantization.set("load_in_4bit", true);
  return f;
}

inline LinearFacts& linear(ArtefactFacts& f, std::string_view name) {
  const auto found = std::ranges::find_if(
      f.linears, [&](const LinearFacts& l) { return l.module.ends_with(name); });
  if (found == f.linears.end()) throw std::runtime_error("no such Linear");
  return *found;
}

inline EngineTarget target(std::string_view engine, std::string_view device = "",
                           std::int64_t ranks = 1) {
  EngineTarget t;
  t.engine = find_engine(engine).value();
  if (!device.empty()) t.device = find_device(device).value();
  t.tensor_parallel = ranks;
  return t;
}

inline ArtefactFacts with(ArtefactFacts facts, const std::function<void(ArtefactFacts&)>& change) {
  change(facts);
  return facts;
}

inline ArtefactFacts with_key(ArtefactFacts facts, const std::string& key, std::string_view json) {
  facts.quantization.set(key, Json::parse(json, "test").value());
  return facts;
}

inline EngineTarget version(EngineTarget at, std::string text) {
  at.version = std::move(text);
  return at;
}

inline EngineTarget online(EngineTarget at, std::string scheme_name) {
  at.online = std::move(scheme_name);
  return at;
}

inline ArtefactFacts resized(ArtefactFacts facts, std::string_view name, std::int64_t rows,
                             std::int64_t cols) {
  linear(facts, name).rows = rows;
  linear(facts, name).cols = cols;
  return facts;
}

inline ArtefactFacts with_module(ArtefactFacts facts, std::string module, bool quantized) {
  facts.linears.push_back({.module = module,
                           .rows = 128,
                           .cols = 512,
                           .scheme = quantized ? facts.linears[0].scheme : std::nullopt});
  facts.tensors.push_back(module + ".weight");
  return facts;
}

inline ArtefactFacts experts(std::int64_t inner, std::int64_t hidden = 512) {
  ArtefactFacts facts = compressed("int4_g128_sym");
  for (const char* name : {"gate_proj", "up_proj", "down_proj"}) {
    const bool down = name[0] == 'd';
    facts.linears.push_back({.module = std::string("model.layers.0.mlp.experts.0.") + name,
                             .rows = down ? hidden : inner,
                             .cols = down ? inner : hidden,
                             .scheme = facts.linears[0].scheme});
  }
  return facts;
}

inline ArtefactFacts act_order(bool ordered) {
  ArtefactFacts facts = gptq("int4_g128_sym");
  for (LinearFacts& l : facts.linears) {
    if (l.scheme) l.scheme->weight.act_order = ordered;
  }
  return facts;
}

inline ArtefactFacts gguf_facts() {
  ArtefactFacts facts;
  facts.container = "gguf";
  return facts;
}

inline ArtefactFacts unreadable(ArtefactFacts facts, bool contradictory) {
  facts.unreadable = "bits";
  facts.contradictory = contradictory;
  return facts;
}

inline const ArtefactFacts& w4() {
  static const ArtefactFacts facts = compressed("int4_g128_sym");
  return facts;
}

inline const ArtefactFacts& fp8_facts() {
  static const ArtefactFacts facts = compressed("fp8_e4m3_channel", "fp8_e4m3_token");
  return facts;
}

inline const ArtefactFacts& int8() {
  static const ArtefactFacts facts = compressed("int8_channel_sym", "int8_token");
  return facts;
}

}  // namespace quantlane::test_facts
