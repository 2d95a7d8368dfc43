// Rules about kernels of devices: an artefact that breaks each, and a neighbour that does not.
#include <gtest/gtest.h>

#include "recommend/preflight_rule_fixtures.h"

namespace quantlane {
namespace {

using namespace test_facts;  // NOLINT(google-build-using-namespace): the shared test inputs

std::vector<RuleTest> kernel_tests() {
  const auto vllm = [](std::string_view device) { return target("vllm", device); };
  const ArtefactFacts nvfp4 = compressed("nvfp4", "nvfp4");
  const ArtefactFacts mxfp4 = compressed("mxfp4", "mxfp4");
  const ArtefactFacts mxfp8 = compressed("mxfp8", "mxfp8");
  const ArtefactFacts w8 = compressed("int8_g128_sym");
  const ArtefactFacts w3 = compressed("int3_g128_sym");
  return {
      {"fp8-needs-turing", {fp8_facts(), vllm("v100")}, {fp8_facts(), vllm("t4")}},
      {"fp8-weight-only", {fp8_facts(), vllm("a100")}, {fp8_facts(), vllm("l4")}},
      {"int8-needs-turing", {int8(), vllm("v100")}, {int8(), vllm("t4")}},
      {"int8-blackwell", {int8(), vllm("b200")}, {int8(), vllm("h100")}},
      {"int4-needs-turing", {w4(), vllm("v100")}, {w4(), vllm("t4")}},
      {"gptq-on-volta",
       {gptq("int4_g128_sym"), vllm("v100")},
       {gptq("int4_g128_sym"), vllm("a100")}},
      {"w4afp8-sm90",
       {compressed("int4_g128_sym", "fp8_e4m3_token"), vllm("l4")},
       {compressed("int4_g128_sym", "fp8_e4m3_token"), vllm("h100")}},
      {"nvfp4-needs-turing", {nvfp4, vllm("v100")}, {nvfp4, vllm("t4")}},
      {"mxfp4-needs-ampere", {mxfp4, vllm("t4")}, {mxfp4, vllm("a100")}},
      {"fp4-weight-only", {nvfp4, vllm("h100")}, {nvfp4, vllm("b200")}},
      {"mxfp8-weight-only", {mxfp8, vllm("h100")}, {mxfp8, vllm("b200")}},
      {"mxfp4-half",
       {with(block("mxfp4", scheme("mxfp4")), [](auto& f) { f.dtype = DType::kF16; }),
        vllm("b200")},
       {with(mxfp4, [](auto& f) { f.dtype = DType::kF16; }), vllm("b200")}},
      {"odd-width-humming", {w3, vllm("h100")}, {w8, vllm("h100")}},
      {"amd-no-marlin", {w4(), vllm("mi300x")}, {w4(), vllm("h100")}},
      {"amd-no-nvfp4", {compressed("nvfp4"), vllm("mi355x")}, {nvfp4, vllm("mi355x")}},
      {"amd-nvfp4-emulated", {nvfp4, vllm("mi355x")}, {compressed("nvfp4"), vllm("mi355x")}},
      {"amd-odd-width", {w3, vllm("mi300x")}, {w3, vllm("h100")}},
      {"amd-mxfp4", {mxfp4, vllm("mi300x")}, {mxfp4, vllm("mi355x")}},
      {"amd-mxfp8", {mxfp8, vllm("mi300x")}, {mxfp8, vllm("mi355x")}},
      {"amd-fnuz", {fp8_facts(), vllm("mi300x")}, {fp8_facts(), vllm("mi355x")}},
      {"cpu-no-fp4", {nvfp4, vllm("epyc-turin")}, {fp8_facts(), vllm("epyc-turin")}},
      {"cpu-no-w8a16", {w8, vllm("epyc-turin")}, {int8(), vllm("epyc-turin")}},
      {"cpu-quantized-experts",
       {experts(256), vllm("epyc-turin")},
       {with(experts(256),
             [](auto& f) {
               for (LinearFacts& l : f.linears) {
                 if (l.module.find(".experts.") != std::string::npos) l.scheme.reset();
               }
             }),
        vllm("epyc-turin")}},
      {"cpu-fp8-block",
       {compressed("fp8_e4m3_b128x128", "fp8_e4m3_g128"), vllm("epyc-turin")},
       {compressed("fp8_e4m3_b128x128", "fp8_e4m3_g128"), vllm("xeon-spr")}},
      {"cpu-fp8-slow", {fp8_facts(), vllm("epyc-turin")}, {int8(), vllm("epyc-turin")}},
      {"cpu-int4-slow", {w4(), vllm("epyc-turin")}, {int8(), vllm("epyc-turin")}},
      {"cpu-amx-fp8",
       {fp8_facts(), vllm("xeon-spr")},
       {fp8_facts(), version(vllm("xeon-spr"), "0.32.0")}},
      {"cpu-amx-int8", {w4(), vllm("xeon-spr")}, {w4(), vllm("epyc-turin")}},
      {"no-kernel", {fp8_facts(), vllm("m3-max")}, {plain(), vllm("m3-max")}},
  };
}

TEST(PreflightKernelRules, EachIsBrokenByOneArtefactAndNotByItsNeighbour) {
  expect_each_rule_tested(preflight_kernel_rules(), kernel_tests());
}

// By vLLM's scaled_mm/cpu.py.
TEST(PreflightKernelRules, WhatAmxDoesNotTakeIsSlow) {
  struct Row {
    const char* weight;
    const char* input;
    bool amx_032, amx_033;
  };
  for (const Row& row : {Row{"fp8_e4m3_channel", "fp8_e4m3_token", false, true},
                         Row{"fp8_e4m3_tensor", "fp8_e4m3_tensor", true, true},
                         Row{"fp8_e4m3_tensor", "fp8_e4m3_token", false, false},
                         Row{"fp8_e4m3_b128x128", "fp8_e4m3_g128", true, true}}) {
    const ArtefactFacts facts = compressed(row.weight, row.input);
    for (const bool newer : {false, true}) {
      const bool amx = newer ? row.amx_033 : row.amx_032;
      const EngineTarget at = version(target("vllm", "xeon-spr"), newer ? "0.33.0" : "0.32.0");
      EXPECT_EQ(fires("cpu-amx-fp8", {facts, at}), amx) << row.weight << newer;
      EXPECT_EQ(fires("cpu-fp8-slow", {facts, at}), !amx) << row.weight << newer;
    }
    const bool block = preflight_parts::is_fp8_block(*facts.linears[0].scheme);
    const EngineTarget turin = target("vllm", "epyc-turin");
    EXPECT_EQ(fires("cpu-fp8-slow", {facts, turin}), !block) << row.weight;
    EXPECT_EQ(fires("cpu-fp8-block", {facts, turin}), block) << row.weight;
    // Rows that are no multiple of 32.
    const ArtefactFacts odd = resized(facts, "o_proj", 500, 512);
    EXPECT_TRUE(fires("cpu-fp8-slow", {odd, target("vllm", "xeon-spr")})) << row.weight;
  }
}

}  // namespace
}  // namespace quantlane
