// Rules about schemes that an engine is to make while it loads: an artefact that breaks each, and a
// neighbour that does not.
#include <gtest/gtest.h>

#include "recommend/preflight_rule_fixtures.h"

namespace quantlane {
namespace {

using namespace test_facts;  // NOLINT(google-build-using-namespace): the shared test inputs

EngineTarget vllm(const char* flag) { return online(target("vllm"), flag); }
EngineTarget sglang(const char* flag) { return online(target("sglang"), flag); }
EngineTarget tgi(const char* flag) { return online(target("tgi"), flag); }

ArtefactFacts with_experts(ArtefactFacts facts) {
  facts.tensors.emplace_back("m.experts.0.w1.weight");
  return facts;
}
ArtefactFacts awq() { return block("awq", scheme("int4_g128_asym")); }
ArtefactFacts native_fp8() { return block("fp8", scheme("fp8_e4m3_tensor", "fp8_e4m3_tensor")); }
ArtefactFacts modelopt(const char* weight) { return block("modelopt", scheme(weight)); }

std::vector<RuleTest> online_tests() {
  return {
      {"online-nothing",
       {plain(), vllm("int8_per_channel_weight_only")},
       {with_experts(plain()), vllm("int8_per_channel_weight_only")}},
      {"online-unknown", {plain(), vllm("int5")}, {plain(), vllm("fp8")}},
      {"online-named", {awq(), vllm("awq")}, {plain(), vllm("fp8")}},
      {"online-replaced", {modelopt("nvfp4"), vllm("fp8")}, {w4(), vllm("fp8")}},
      {"online-requantized",
       {w4(), sglang("quark_mxfp4")},
       {with_experts(w4()), sglang("nvfp4_online")}},
      {"online-twice", {w4(), vllm("fp8")}, {plain(), vllm("fp8")}},
      {"online-device",
       {plain(), online(target("vllm", "v100"), "fp8")},
       {plain(), online(target("vllm", "t4"), "fp8")}},
      {"online-cpu-fp8",
       {plain(), online(target("vllm", "epyc-turin"), "fp8")},
       {plain(), online(target("vllm", "h100"), "fp8")}},
  };
}

TEST(PreflightOnlineRules, EachIsBrokenByOneArtefactAndNotByItsNeighbour) {
  expect_each_rule_tested(preflight_online_rules(), online_tests());
}

// What --quantization (TGI: --quantize) takes for plain weights.
TEST(PreflightOnlineRules, EveryEngineRefusesSchemesThatItDoesNotHave) {
  for (const EngineRow& row : engines()) {
    const EngineTarget at = target(row.name);
    const ArtefactFacts facts = row.methods.empty() ? gguf_facts() : plain();
    EXPECT_FALSE(fires("online-unknown", {facts, at})) << row.name;
    EXPECT_TRUE(fires("online-unknown", {facts, online(at, "banana")})) << row.name;
    for (const std::string_view known : row.online) {
      EXPECT_FALSE(fires("online-unknown", {facts, online(at, std::string(known))})) << known;
    }
  }
  EXPECT_FALSE(fires("online-unknown", {plain(), tgi("eetq")}));
  EXPECT_TRUE(fires("online-unknown", {plain(), sglang("eetq")}));
  EXPECT_TRUE(fires("online-nothing", {plain(), sglang("nvfp4_online")}));
}

// vLLM's config/quantization.py and experts_int8.py leave Linears other than experts as they are.
TEST(PreflightOnlineRules, WhatQuantizesExpertsAloneIsNothingOnADenseModel) {
  for (const EngineTarget& at :
       {vllm("int8_per_channel_weight_only"), vllm("experts_int8"), vllm("nvfp4_per_token"),
        sglang("nvfp4_online"), sglang("modelopt_fp4")}) {
    EXPECT_EQ(preflight(plain(), at).worst, PreflightEffect::kWrong) << at.online;
    EXPECT_FALSE(fires("online-nothing", {with_experts(plain()), at})) << at.online;
  }
  for (const char* flag : {"fp8", "fp8_per_block", "mxfp8", "mxfp4"})
    EXPECT_TRUE(preflight(plain(), vllm(flag)).usable()) << flag;
}

// fp8_per_channel rounds with operators of torch alone.
TEST(PreflightOnlineRules, ACpuTakesFp8PerChannelAndWithAmxInBlocks) {
  const auto answer = [](const char* device, const char* flag) {
    return preflight(plain(), online(target("vllm", device), flag)).worst;
  };
  for (const char* device : {"epyc-turin", "xeon-spr"}) {
    EXPECT_EQ(answer(device, "fp8_per_tensor"), PreflightEffect::kRefuse) << device;
    EXPECT_EQ(answer(device, "fp8_per_channel"), PreflightEffect::kSlow) << device;
  }
  EXPECT_EQ(answer("epyc-turin", "fp8_per_block"), PreflightEffect::kRefuse);
  EXPECT_EQ(answer("xeon-spr", "fp8_per_block"), PreflightEffect::kSlow);
}

// The rules about the flag that speak, joined by blanks.
std::string said(const ArtefactFacts& facts, const EngineTarget& at) {
  std::string text;
  for (const PreflightFinding& finding : preflight(facts, at).findings) {
    if (finding.rule.starts_with("online-")) text += (text.empty() ? "" : " ") + finding.rule;
  }
  return text;
}

// Over a quantized checkpoint one thing is true of the flag, and none is about plain weights.
TEST(PreflightOnlineRules, AQuantizedCheckpointHearsWhatItsEngineDoesWithTheFlag) {
  // By the name of the format, also of its kernel, nothing is made: that is no error.
  EXPECT_EQ(said(awq(), vllm("awq")), "online-named");
  EXPECT_EQ(said(awq(), vllm("awq_marlin")), "online-named");
  EXPECT_EQ(said(gptq("int4_g128_sym"), vllm("gptq_marlin")), "online-named");
  EXPECT_EQ(said(native_fp8(), vllm("fp8")), "online-named");
  EXPECT_EQ(said(w4(), sglang("compressed-tensors")), "online-named");
  EXPECT_EQ(said(w4(), sglang("w8a8_int8")), "online-named");
  EXPECT_EQ(said(compressed("fp8_e4m3_channel", "fp8_e4m3_token"), tgi("fp8")), "online-named");
  EXPECT_TRUE(preflight(w4(), sglang("compressed-tensors")).usable());
  // Another name stops the engine, whether it is one that it has or none.
  for (const char* flag : {"fp8", "awq", "banana", "int8_per_channel_weight_only"})
    EXPECT_EQ(said(w4(), vllm(flag)), "online-twice") << flag;
  EXPECT_EQ(said(awq(), sglang("awq_marlin")), "online-twice");
  EXPECT_EQ(said(w4(), sglang("nvfp4_online")), "online-twice");
  EXPECT_EQ(said(w4(), tgi("eetq")), "online-twice");
  // Without a word: not what was asked for.
  EXPECT_EQ(said(modelopt("fp8_e4m3_tensor"), vllm("mxfp8")), "online-replaced");
  EXPECT_EQ(said(modelopt("nvfp4"), sglang("fp8")), "online-replaced");
  const auto gpt_oss = [](auto& f) { f.config.set("model_type", "gpt_oss"); };
  EXPECT_EQ(said(with(block("mxfp4", scheme("mxfp4")), gpt_oss), vllm("fp8")), "online-replaced");
  EXPECT_EQ(said(block("mxfp4", scheme("mxfp4")), vllm("fp8")), "online-twice");
  EXPECT_FALSE(preflight(modelopt("nvfp4"), vllm("fp8")).usable());
  // SGLang alone quantizes again.
  EXPECT_EQ(said(modelopt("nvfp4"), sglang("quark_mxfp4")), "online-requantized");
  EXPECT_EQ(said(with_experts(native_fp8()), sglang("nvfp4_online")), "online-requantized");
  EXPECT_EQ(said(native_fp8(), sglang("nvfp4_online")), "online-nothing");
  EXPECT_EQ(said(native_fp8(), sglang("modelopt_fp4")), "online-nothing");
  EXPECT_EQ(said(modelopt("nvfp4"), sglang("nvfp4_online")), "online-twice");
  // An engine without such a flag has none for these, either.
  EXPECT_EQ(said(w4(), online(target("tensorrt-llm"), "fp8")), "online-unknown");
}

TEST(PreflightOnlineRules, AnAnswerNamesTheSourceOfTheEngineThatWasAsked) {
  for (const char* engine : {"vllm", "sglang", "tgi"}) {
    const EngineTarget at = online(target(engine), "eetq");
    for (const PreflightFinding& finding : preflight(w4(), at).findings) {
      if (finding.rule != "online-twice") continue;
      for (const EngineRow& row : engines()) {
        EXPECT_EQ(finding.source.find(row.display) != std::string::npos, row.name == engine)
            << finding.source;
      }
    }
  }
}

}  // namespace
}  // namespace quantlane
