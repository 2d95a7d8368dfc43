// Rules about limits of single engines: an artefact that breaks each, and a neighbour that does
// not.
#include <gtest/gtest.h>

#include "recommend/preflight_rule_fixtures.h"

namespace quantlane {
namespace {

using namespace test_facts;  // NOLINT(google-build-using-namespace): the shared test inputs

ArtefactFacts with_class(ArtefactFacts facts, const std::string& name) {
  facts.config.set("architectures", Json::array().push(name));
  return facts;
}

// Of AMD Quark, with such dynamic inputs.
ArtefactFacts quark(const std::string& dtype, const std::string& by) {
  return with_key(block("quark", scheme("fp8_e4m3_tensor", "fp8_e4m3_token")),
                  "global_quant_config",
                  R"({"input_tensors": {"dtype": ")" + dtype + R"(", "qscheme": ")" + by +
                      R"(", "is_dynamic": true}})");
}

std::vector<RuleTest> engine_tests() {
  const EngineTarget vllm = target("vllm");
  return {
      {"gptq-asymmetric", {gptq("int4_g128_asym"), vllm}, {gptq("int4_g128_sym"), vllm}},
      {"gptq-width", {gptq("int3_g128_sym"), vllm}, {gptq("int8_g128_sym"), vllm}},
      {"gptq-order", {act_order(true), vllm}, {act_order(true), version(vllm, "0.29.0")}},
      {"ct-asymmetric-products",
       {compressed("int8_channel_asym", "int8_token"), vllm},
       {compressed("int4_g128_asym"), vllm}},
      {"engine-too-old",
       {compressed("nvfp4"), version(vllm, "0.9.0")},
       {compressed("nvfp4"), version(vllm, "0.9.1")}},
      {"quark-one-scale",
       {quark("fp8_e4m3", "per_tensor"), vllm},
       {quark("fp8_e4m3", "per_channel"), vllm}},
      {"quark-int8-inputs",
       {quark("int8", "per_token"), vllm},
       {quark("int8", "per_channel"), vllm}},
      {"gguf-elsewhere", {gguf_facts(), vllm}, {gguf_facts(), target("llama.cpp")}},
      {"folder-elsewhere", {plain(), target("llama.cpp")}, {gguf_facts(), target("llama.cpp")}},
      {"ollama-folder",
       {with_class(plain(), "Qwen3ForCausalLM"), target("ollama")},
       {with_class(plain(), "LlamaForCausalLM"), target("ollama")}},
      {"gguf-in-one-piece",
       {with(gguf_facts(), [](auto& f) { f.files = 2; }), target("sglang")},
       {with(gguf_facts(), [](auto& f) { f.files = 2; }), target("llama.cpp")}},
      {"ollama-split",
       {with(gguf_facts(), [](auto& f) { f.files = 2; }), target("ollama")},
       {gguf_facts(), target("ollama")}},
      {"localai-folder", {plain(), target("localai")}, {gguf_facts(), target("localai")}},
  };
}

TEST(PreflightEngineRules, OllamaImportsGptOssWithItsCodes) {
  const ArtefactFacts mxfp4 = block("mxfp4", scheme("mxfp4"));
  EXPECT_FALSE(fires("ollama-folder", {with_class(mxfp4, "GptOssForCausalLM"), target("ollama")}));
  EXPECT_TRUE(fires("ollama-folder", {with_class(mxfp4, "LlamaForCausalLM"), target("ollama")}));
}

TEST(PreflightEngineRules, EachIsBrokenByOneArtefactAndNotByItsNeighbour) {
  expect_each_rule_tested(preflight_engine_rules(), engine_tests());
}

// Static inputs have one scale wherever they run.
TEST(PreflightEngineRules, QuarkIsReadLayerByLayer) {
  const auto layer = [](std::string_view dynamic) {
    const std::string inputs = R"({"*down_proj": {"input_tensors": {"dtype": "fp8_e4m3",
        "qscheme": "per_tensor", "is_dynamic": )" +
                               std::string(dynamic) + "}}}";
    return with_key(quark("fp8_e4m3", "per_channel"), "layer_quant_config", inputs);
  };
  EXPECT_TRUE(fires("quark-one-scale", {layer("true"), target("vllm")}));
  EXPECT_FALSE(fires("quark-one-scale", {layer("false"), target("vllm")}));
}

}  // namespace
}  // namespace quantlane
