// Rules about SGLang: an artefact that breaks each, and a neighbour that does not.
#include <gtest/gtest.h>

#include "recommend/preflight_rule_fixtures.h"

namespace quantlane {
namespace {

using namespace test_facts;  // NOLINT(google-build-using-namespace): the shared test inputs

std::vector<RuleTest> sglang_tests() {
  const auto at = [](std::string_view device) { return target("sglang", device); };
  const ArtefactFacts modelopt_fp8 = block("modelopt", scheme("fp8_e4m3_tensor"));
  const ArtefactFacts modelopt_fp4 = block("modelopt", scheme("nvfp4", "nvfp4"));
  const auto mixed = [](std::string_view down) {
    ArtefactFacts facts = compressed("int4_g128_sym");
    linear(facts, "down_proj").scheme = scheme(down);
    return facts;
  };
  return {
      {"sglang-marlin-alone",
       {gptq("int4_g128_asym"), at("h100")},
       {compressed("int4_g128_asym"), at("h100")}},
      {"sglang-needs-ampere", {int8(), at("t4")}, {int8(), at("a100")}},
      {"sglang-fp8-weight-only", {fp8_facts(), at("a100")}, {fp8_facts(), at("l4")}},
      {"sglang-modelopt-fp8", {modelopt_fp8, at("a100")}, {modelopt_fp8, at("l4")}},
      {"sglang-nvfp4-blackwell", {modelopt_fp4, at("h100")}, {modelopt_fp4, at("b200")}},
      {"sglang-ct-mxfp4", {compressed("mxfp4"), at("b200")}, {compressed("nvfp4"), at("b200")}},
      {"sglang-mixed",
       {mixed("int8_g128_sym"), target("sglang")},
       {mixed("int4_g128_sym"), target("sglang")}},
      {"sglang-common-format",
       {with_key(experts(256), "format", "\"mixed-precision\""), target("sglang")},
       {with_key(w4(), "format", "\"mixed-precision\""), target("sglang")}},
      {"sglang-int8-experts",
       {with_module(int8(), "model.layers.0.mlp.experts.0.up_proj", true), target("sglang")},
       {with_module(fp8_facts(), "model.layers.0.mlp.experts.0.up_proj", true), target("sglang")}},
      {"sglang-zero-points",
       {compressed("int8_channel_sym", "int8_token_asym"), target("sglang")},
       {int8(), target("sglang")}},
      {"sglang-int8-static",
       {compressed("int8_channel_sym", "int8_tensor"), target("sglang")},
       {int8(), target("sglang")}},
      {"sglang-petit", {modelopt_fp4, at("mi300x")}, {modelopt_fp4, at("mi355x")}},
      {"sglang-amd-nvfp4", {compressed("nvfp4"), at("mi300x")}, {modelopt_fp4, at("mi300x")}},
      {"sglang-amd-integers", {w4(), at("mi300x")}, {w4(), at("h100")}},
      {"sglang-amd-methods", {gguf_facts(), at("mi300x")}, {gguf_facts(), at("h100")}},
  };
}

TEST(PreflightSglangRules, EachIsBrokenByOneArtefactAndNotByItsNeighbour) {
  expect_each_rule_tested(preflight_sglang_rules(), sglang_tests());
}

// fp8_utils.py: can_auto_enable_marlin_fp8. ModelOpt's is refused before.
TEST(Preflight, SglangRunsNativeFp8InMarlinBeforeAda) {
  const ArtefactFacts native = block("fp8", scheme("fp8_e4m3_tensor", "fp8_e4m3_tensor"));
  EXPECT_TRUE(fires("sglang-fp8-weight-only", {native, target("sglang", "a100")}));
  EXPECT_FALSE(fires("sglang-fp8-weight-only", {native, target("sglang", "l4")}));
}

// The format of the whole configuration stands above that of the group.
TEST(Preflight, SglangTakesPackedIntegersByTheCommonFormat) {
  for (const char* format : {"dense", "int-quantized", "nvfp4-pack-quantized"}) {
    const std::string text = "\"" + std::string(format) + "\"";
    ArtefactFacts facts = with_key(w4(), "config_groups", R"({"a": {"format": "pack-quantized"}})");
    EXPECT_TRUE(fires("sglang-common-format", {with_key(facts, "format", text), target("sglang")}));
    EXPECT_FALSE(fires("sglang-common-format",
                       {with_key(facts, "format", "\"pack-quantized\""), target("sglang")}));
    EXPECT_FALSE(
        fires("sglang-common-format", {with_key(int8(), "format", text), target("sglang")}));
  }
}

}  // namespace
}  // namespace quantlane
