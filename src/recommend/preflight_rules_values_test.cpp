// Rules about what tensors hold: an artefact that breaks each, and a neighbour that does not.
#include <gtest/gtest.h>

#include "recommend/preflight_rule_cases.h"

namespace quantlane {
namespace {

using namespace test_facts;  // NOLINT(google-build-using-namespace): the shared test inputs

constexpr std::string_view kFp8Cache = R"({"num_bits": 8, "type": "float", "strategy": "tensor"})";

ArtefactFacts shared_scale(float k) {
  ArtefactFacts facts = compressed("nvfp4");
  for (LinearFacts& l : facts.linears) l.tensor_scale = 2.0F;
  linear(facts, "k_proj").tensor_scale = k;
  return facts;
}

ArtefactFacts kv(std::string_view json, bool scales = true) {
  ArtefactFacts facts =
      with_key(compressed("fp8_e4m3_channel", "fp8_e4m3_token"), "kv_cache_scheme", json);
  if (scales) facts.tensors.emplace_back("model.layers.0.self_attn.k_scale");
  return facts;
}

std::vector<RuleTest> value_tests() {
  const EngineTarget vllm = target("vllm");
  return {
      {"bad-scale",
       {with(w4(), [](auto& f) { linear(f, "o_proj").bad_scale = "weight_scale[3] is zero"; }),
        vllm},
       {w4(), vllm}},
      {"bad-code",
       {with(fp8_facts(),
             [](auto& f) { linear(f, "o_proj").bad_code = "weight in row 1, column 2 is NaN"; }),
        vllm},
       {fp8_facts(), vllm}},
      {"nvfp4-shared-scale", {shared_scale(3.0F), vllm}, {shared_scale(2.0F), vllm}},
      {"ct-group-order",
       {with(w4(), [](auto& f) { linear(f, "o_proj").stored_order = true; }), vllm},
       {with(w4(), [](auto& f) { linear(f, "o_proj").stored_order = true; }),
        version(vllm, "0.29.0")}},
      {"kv-width",
       {kv(R"({"num_bits": 8, "type": "int", "strategy": "tensor"})"), vllm},
       {kv(kFp8Cache), vllm}},
      {"kv-strategy",
       {kv(R"({"num_bits": 8, "type": "int", "strategy": "group", "group_size": 64})"), vllm},
       {kv(R"({"num_bits": 8, "type": "float", "strategy": "attn_head"})"), vllm}},
      {"kv-fp8-only",
       {kv(R"({"num_bits": 8, "type": "int", "strategy": "tensor"})"), target("tensorrt-llm")},
       {kv(kFp8Cache), target("tensorrt-llm")}},
      {"kv-head-version",
       {kv(R"({"num_bits": 8, "type": "float", "strategy": "attn_head"})"),
        version(vllm, "0.14.1")},
       {kv(R"({"num_bits": 8, "type": "float", "strategy": "attn_head"})"),
        version(vllm, "0.15.0")}},
      {"kv-flag", {kv(kFp8Cache), vllm}, {fp8_facts(), vllm}},
      {"cpu-kv-cut",
       {kv(kFp8Cache), target("vllm", "epyc-turin")},
       {kv(kFp8Cache), target("vllm", "h100-sxm")}},
      {"kv-without-scales", {kv(kFp8Cache, false), vllm}, {kv(kFp8Cache), vllm}},
  };
}

TEST(PreflightValueRules, EachIsBrokenByOneArtefactAndNotByItsNeighbour) {
  expect_each_rule_tested(preflight_value_rules(), value_tests());
}

}  // namespace
}  // namespace quantlane
