// Rules about the configuration: an artefact that breaks each, and a neighbour that does not.
#include <gtest/gtest.h>

#include "recommend/preflight_rule_fixtures.h"

namespace quantlane {
namespace {

using namespace test_facts;  // NOLINT(google-build-using-namespace): the shared test inputs

ArtefactFacts with_method(ArtefactFacts facts, std::string method) {
  facts.method = std::move(method);
  return facts;
}

ArtefactFacts packed_experts() {
  return with(block("mxfp4", scheme("mxfp4")),
              [](auto& f) { f.packed = "model.layers.0.mlp.experts.down_proj_blocks"; });
}

// GPTQ that keeps one module plain.
ArtefactFacts excluding(const std::string& name, std::string_view dynamic) {
  ArtefactFacts facts = with_module(gptq("int4_g128_sym"), "model.layers.0.mlp." + name, false);
  facts.linears.back().kept_plain = true;
  return with_key(facts, "dynamic", dynamic);
}
constexpr std::string_view kExcludes = R"({"-:.*\\.fc1$": {}})";
constexpr std::string_view kChanges = R"({"-:.*\\.fc1$": {}, "+:.*v_proj": {"bits": 8}})";

std::vector<RuleTest> config_tests() {
  const EngineTarget vllm = target("vllm");
  const EngineTarget trt = target("tensorrt-llm");
  const EngineTarget tgi = target("tgi");
  return {
      {"unknown-method", {with_method(w4(), "hqq"), vllm}, {w4(), vllm}},
      {"missing-keys",
       {with(gptq("int4_g128_sym"), [](auto& f) { f.quantization.erase("sym"); }), vllm},
       {gptq("int4_g128_sym"), vllm}},
      {"packed-experts", {packed_experts(), vllm}, {w4(), vllm}},
      {"ct-arguments", {unreadable(w4(), false), vllm}, {unreadable(w4(), true), vllm}},
      {"not-judged",
       {unreadable(gptq("int4_g128_sym"), false), vllm},
       {unreadable(gptq("int4_g128_sym"), true), vllm}},
      {"fused-scheme",
       {with(w4(), [](auto& f) { linear(f, "v_proj").scheme.reset(); }), vllm},
       {with(w4(), [](auto& f) { linear(f, "o_proj").scheme.reset(); }), vllm}},
      {"router-quantized",
       {with_module(w4(), "model.layers.0.mlp.gate", true), vllm},
       {with_module(w4(), "model.layers.0.mlp.gate", false), vllm}},
      {"targeted-but-plain",
       {with_module(w4(), "model.vision.proj", true), vllm},
       {with_module(w4(), "model.vision.proj", false), vllm}},
      {"embedding-quantized",
       {with_module(fp8_facts(), "model.embed_tokens", true), vllm},
       {with_module(w4(), "model.embed_tokens", true), vllm}},
      {"tgi-missing-keys",
       {with(gptq("int4_g128_sym"), [](auto& f) { f.quantization.erase("sym"); }), target("tgi")},
       {gptq("int4_g128_sym"), target("tgi")}},
      {"scales-missing",
       {with_module(fp8_facts(), "model.vision.proj", true), trt},
       {with_module(fp8_facts(), "model.vision.proj", false), trt}},
      {"sglang-skipped",
       {with_module(w4(), "model.embed_tokens", true), target("sglang")},
       {with_module(w4(), "model.embed_tokens", false), target("sglang")}},
      {"zeros-on-symmetric",
       {with(w4(), [](auto& f) { linear(f, "o_proj").stored_zeros = true; }), vllm},
       {with(compressed("int4_g128_asym"),
             [](auto& f) { linear(f, "o_proj").stored_zeros = true; }),
        vllm}},
      {"quantization-status",
       {with_key(w4(), "quantization_status", "\"calibration\""), target("tgi")},
       {with_key(w4(), "quantization_status", "\"compressed\""), target("tgi")}},
      {"sparsity-removed",
       {with_key(w4(), "sparsity_config", R"({"format": "sparse-24-bitmask"})"), vllm},
       {with_key(w4(), "sparsity_config", "{}"), vllm}},
      {"rotations-ignored",
       {with_key(w4(), "transform_config", R"({"config_groups": {}})"), target("sglang")},
       {with_key(w4(), "transform_config", "{}"), target("sglang")}},
      {"dynamic-excluded", {excluding("fc1", kExcludes), tgi}, {excluding("gate", kExcludes), tgi}},
      {"dynamic-ignored", {excluding("fc1", kChanges), tgi}, {excluding("fc1", kExcludes), tgi}},
      {"tensor-dimensions",
       {with(fp8_facts(),
             [](auto& f) { f.linears[0].other_shape = "weight_scale is [512], not [512, 1]"; }),
        target("sglang")},
       {fp8_facts(), target("sglang")}},
      {"side-file-differs",
       {with(with_key(block("modelopt", scheme("nvfp4")), "quant_algo", "\"NVFP4\""),
             [](auto& f) {
               f.side_file = Json::parse(R"({"quantization": {"quant_algo": "FP8"}})", "t").value();
             }),
        trt},
       {with(with_key(block("modelopt", scheme("nvfp4")), "quant_algo", "\"FP8\""),
             [](auto& f) {
               f.side_file = Json::parse(R"({"quantization": {"quant_algo": "FP8"}})", "t").value();
             }),
        trt}},
  };
}

TEST(PreflightConfigRules, EachIsBrokenByOneArtefactAndNotByItsNeighbour) {
  expect_each_rule_tested(preflight_config_rules(), config_tests());
}

// Exports of routers that are no Linear (transformers 5) do not list them.
TEST(Preflight, PlainRoutersNeedNoListWhereTheEngineBuildsThemPlain) {
  const auto of_family = [](std::string_view model_type, bool scales) {
    ArtefactFacts facts = with_module(w4(), "model.layers.0.mlp.gate", true);
    facts.config.set("model_type", model_type);
    if (scales) facts.tensors.emplace_back("model.layers.0.mlp.gate.weight_scale");
    return facts;
  };
  const auto router = "router-quantized";
  EXPECT_FALSE(fires(router, {of_family("mixtral", false), target("vllm")}));
  EXPECT_TRUE(fires(router, {of_family("mixtral", true), target("vllm")}));
  EXPECT_TRUE(fires(router, {of_family("qwen3_moe", false), target("vllm")}));
}

// GPTQModel excludes the routers of experts, which this engine keeps plain by itself.
TEST(Preflight, TgiMayIgnoreThatRoutersAreExcluded) {
  const EngineTarget tgi = target("tgi");
  EXPECT_TRUE(preflight(excluding("gate", kExcludes), tgi).usable());
  EXPECT_EQ(preflight(excluding("gate", kChanges), tgi).worst, PreflightEffect::kWrong);
  EXPECT_EQ(preflight(excluding("fc1", kExcludes), tgi).worst, PreflightEffect::kRefuse);
  // Nothing is excluded, or nothing is said of single modules.
  EXPECT_TRUE(preflight(with_key(gptq("int4_g128_sym"), "dynamic", kExcludes), tgi).usable());
  EXPECT_TRUE(preflight(excluding("fc1", "{}"), tgi).usable());
}

}  // namespace
}  // namespace quantlane
