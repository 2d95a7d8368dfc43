// Rules about shapes: an artefact that breaks each, and a neighbour that does not.
#include <gtest/gtest.h>

#include "recommend/preflight_rule_fixtures.h"

namespace quantlane {
namespace {

using namespace test_facts;  // NOLINT(google-build-using-namespace): the shared test inputs

const ArtefactFacts& fp8_block() {
  static const ArtefactFacts facts = compressed("fp8_e4m3_b128x128", "fp8_e4m3_g128");
  return facts;
}

std::vector<RuleTest> shape_tests() {
  const EngineTarget vllm = target("vllm");
  const EngineTarget gpu = target("vllm", "h100-sxm");
  const ArtefactFacts awq = block("awq", scheme("int4_g128_asym"));
  return {
      {"heads-over-ranks", {w4(), target("vllm", "", 3)}, {w4(), target("vllm", "", 4)}},
      {"kv-heads-over-ranks", {w4(), target("vllm", "", 3)}, {w4(), target("vllm", "", 8)}},
      {"width-over-ranks",
       {resized(w4(), "down_proj", 512, 1001), target("vllm", "", 2)},
       {resized(w4(), "down_proj", 512, 1001), vllm}},
      {"group-width",
       {resized(w4(), "down_proj", 512, 576), vllm},
       {resized(compressed("int4_g64_sym"), "down_proj", 512, 576), vllm}},
      {"fp8-block-rows",
       {resized(fp8_block(), "q_proj", 576, 512), vllm},
       {resized(fp8_block(), "o_proj", 576, 512), vllm}},
      {"fp8-block-columns",
       {resized(fp8_block(), "down_proj", 512, 576), vllm},
       {resized(fp8_facts(), "down_proj", 512, 576), vllm}},
      {"packed-words",
       {resized(compressed("int3_channel_sym"), "down_proj", 512, 1008), vllm},
       {resized(compressed("int3_channel_sym"), "down_proj", 512, 992), vllm}},
      {"marlin-shape",
       {awq, target("sglang", "h100-sxm", 16)},
       {awq, target("vllm", "h100-sxm", 16)}},
      {"sglang-marlin-shape",
       {w4(), target("sglang", "h100-sxm", 16)},
       {w4(), target("sglang", "h100-sxm")}},
      {"marlin-experts", {experts(256, 448), gpu}, {experts(256), gpu}},
      {"marlin-group", {compressed("int4_g256_sym"), gpu}, {compressed("int4_g64_sym"), gpu}},
      {"cpu-gptq-shape",
       {resized(gptq("int4_g128_sym"), "o_proj", 500, 512), target("vllm", "epyc-turin")},
       {gptq("int4_g128_sym"), target("vllm", "epyc-turin")}},
      {"act-order-over-ranks",
       {act_order(true), target("sglang", "", 2)},
       {act_order(false), target("sglang", "", 2)}},
      {"bitsandbytes-ranks",
       {bitsandbytes(), target("sglang", "", 2)},
       {bitsandbytes(), target("sglang")}},
  };
}

TEST(PreflightShapeRules, EachIsBrokenByOneArtefactAndNotByItsNeighbour) {
  expect_each_rule_tested(preflight_shape_rules(), shape_tests());
}

// Of joined matrices vLLM checks all but the last, cut over ranks all; SGLang always all.
TEST(Preflight, TheLastOfJoinedMatricesMayEndInAPartOfABlock) {
  const ArtefactFacts last = resized(fp8_block(), "v_proj", 192, 512);
  EXPECT_FALSE(fires("fp8-block-rows", {last, target("vllm")}));
  EXPECT_TRUE(fires("fp8-block-rows", {last, target("sglang")}));
  EXPECT_TRUE(fires("fp8-block-rows", {last, target("vllm", "", 2)}));
}

}  // namespace
}  // namespace quantlane
