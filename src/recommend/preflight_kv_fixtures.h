// Artefacts with a key-value cache for the tests of pre-flight rules.
#pragma once
#include <string>
#include <string_view>
#include <utility>

#include "recommend/preflight_rule_fixtures.h"

namespace quantlane::test_facts {

inline constexpr std::string_view kFp8Cache =
    R"({"num_bits": 8, "type": "float", "strategy": "tensor", "symmetric": true, "dynamic": false})";
inline constexpr std::string_view kHeads =
    R"({"num_bits": 8, "type": "float", "strategy": "attn_head", "symmetric": true})";
inline constexpr std::string_view kInt8 =
    R"({"num_bits": 8, "type": "int", "strategy": "tensor", "symmetric": true})";
inline constexpr std::string_view kInt8Groups =
    R"({"num_bits": 8, "type": "int", "strategy": "group", "group_size": 64, "dynamic": true,
        "symmetric": true})";
inline constexpr std::string_view kAsymmetric =
    R"({"num_bits": 8, "type": "float", "strategy": "tensor", "symmetric": false})";
inline constexpr std::string_view kDynamic =
    R"({"num_bits": 8, "type": "float", "strategy": "tensor", "symmetric": true, "dynamic": true})";

inline constexpr int kMissing = -1;

inline KvScaleFacts scale(std::string name, std::int64_t count) {
  return count == kMissing ? KvScaleFacts{} : KvScaleFacts{.tensor = name, .count = count};
}

// Two layers; of the second, as many scales of keys and of values.
inline ArtefactFacts kv(std::string_view json, std::int64_t keys = 1, std::int64_t values = 1) {
  ArtefactFacts facts =
      with_key(compressed("fp8_e4m3_channel", "fp8_e4m3_token"), "kv_cache_scheme", json);
  const bool heads = facts.quantization["kv_cache_scheme"]["strategy"].string() == "attn_head";
  for (const std::string name : {"model.layers.0.self_attn", "model.layers.1.self_attn"}) {
    const bool last = name.find('1') != std::string::npos;
    facts.attentions.push_back({.name = name,
                                .key = scale(name + ".k_scale", last    ? keys
                                                                : heads ? 4
                                                                        : 1),
                                .value = scale(name + ".v_scale", last    ? values
                                                                  : heads ? 4
                                                                          : 1)});
  }
  return facts;
}
inline ArtefactFacts without_scales(std::string_view json) {
  return with(kv(json), [](auto& f) { f.attentions.clear(); });
}
inline ArtefactFacts modelopt(ArtefactFacts facts) {
  return with(std::move(facts), [](auto& f) { f.dialect = f.method = "modelopt"; });
}

}  // namespace quantlane::test_facts
