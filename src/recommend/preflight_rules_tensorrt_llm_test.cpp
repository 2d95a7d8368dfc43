// Rules about TensorRT-LLM: an artefact that breaks each, and a neighbour that does not.
#include <gtest/gtest.h>

#include "recommend/preflight_rule_fixtures.h"

namespace quantlane {
namespace {

using namespace test_facts;  // NOLINT(google-build-using-namespace): the shared test inputs

// Its Linears of the feed-forward network are those of an expert, the others are plain.
ArtefactFacts experts_only(ArtefactFacts facts) {
  for (LinearFacts& l : facts.linears) {
    const std::size_t at = l.module.find(".mlp.");
    if (at == std::string::npos) {
      l.scheme.reset();
    } else {
      l.module.replace(at, 5, ".mlp.experts.0.");
    }
  }
  return facts;
}

std::vector<RuleTest> tensorrt_llm_tests() {
  const EngineTarget trt = target("tensorrt-llm");
  const ArtefactFacts modelopt_fp4 = block("modelopt", scheme("nvfp4", "nvfp4"));
  const ArtefactFacts native = block("fp8", scheme("fp8_e4m3_b128x128", "fp8_e4m3_g128"));
  const auto groups = [](std::string_view first) {
    return with_key(compressed("fp8_e4m3_channel", "fp8_e4m3_token"), "config_groups",
                    R"({"a": {"targets": [")" + std::string(first) +
                        R"("]}, "b": {"targets": ["re:.*down_proj"]}})");
  };
  return {
      {"trt-int8-as-fp8", {int8(), trt}, {fp8_facts(), trt}},
      {"trt-fp8-tensor",
       {compressed("fp8_e4m3_tensor", "fp8_e4m3_tensor"), trt},
       {fp8_facts(), trt}},
      {"trt-integers", {w4(), trt}, {fp8_facts(), trt}},
      {"trt-fp8-blocks",
       {block("fp8", scheme("fp8_e4m3_b64x64", "fp8_e4m3_g64")), trt},
       {native, trt}},
      {"trt-fp8-dynamic",
       {block("fp8", scheme("fp8_e4m3_tensor", "fp8_e4m3_token")), trt},
       {block("fp8", scheme("fp8_e4m3_tensor", "fp8_e4m3_tensor")), trt}},
      {"trt-inputs", {compressed("nvfp4"), trt}, {compressed("mxfp4"), trt}},
      {"trt-mxfp4-dense", {compressed("mxfp4"), trt}, {experts_only(compressed("mxfp4")), trt}},
      {"trt-mxfp4-inputs",
       {experts_only(compressed("mxfp4", "mxfp4")), trt},
       {experts_only(compressed("mxfp4")), trt}},
      {"trt-fp8-channel",
       {compressed("fp8_e4m3_channel", "fp8_e4m3_token"), trt},
       {block("fp8", scheme("fp8_e4m3_b128x128", "fp8_e4m3_g128")), trt}},
      {"trt-class-names", {groups("Linear"), trt}, {groups("re:.*q_proj"), trt}},
      {"trt-capability",
       {modelopt_fp4, target("tensorrt-llm", "h100")},
       {modelopt_fp4, target("tensorrt-llm", "b200")}},
      {"trt-cuda",
       {fp8_facts(), target("tensorrt-llm", "mi300x")},
       {fp8_facts(), target("tensorrt-llm", "l4")}},
      {"trt-latent-kv",
       {with_module(fp8_facts(), "model.layers.0.self_attn.kv_b_proj", true), trt},
       {with_module(fp8_facts(), "model.layers.0.self_attn.kv_b_proj", false), trt}},
  };
}

TEST(PreflightTensorrtLlmRules, EachIsBrokenByOneArtefactAndNotByItsNeighbour) {
  expect_each_rule_tested(preflight_tensorrt_llm_rules(), tensorrt_llm_tests());
}

}  // namespace
}  // namespace quantlane
