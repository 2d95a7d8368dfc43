#include "recommend/preflight_online_schemes.h"

#include <algorithm>
#include <set>

#include <gtest/gtest.h>

#include "recommend/preflight_rule_fixtures.h"

namespace quantlane {
namespace {

using namespace test_facts;  // NOLINT(google-build-using-namespace): the shared test inputs

EngineTarget at(const char* engine, const char* device, const char* flag) {
  return online(target(engine, device), flag);
}

// Plain, with a router and one expert beside the dense Linears.
ArtefactFacts plain_experts() {
  ArtefactFacts facts = with_module(plain(), "model.layers.0.mlp.gate", false);
  for (const char* name : {"gate_proj", "up_proj", "down_proj"}) {
    facts = with_module(facts, std::string("model.layers.0.mlp.experts.0.") + name, false);
  }
  return with_module(facts, "model.vision_tower.encoder.layers.0.fc1", false);
}

std::string spelling(const ArtefactFacts& facts, std::string_view module) {
  for (const LinearFacts& linear : facts.linears) {
    if (linear.module.ends_with(module))
      return linear.scheme ? linear.scheme->weight.spelling() : "";
  }
  return "no such module";
}

TEST(PreflightOnlineSchemes, SchemesGoToTheModulesThatTheFlagQuantizes) {
  const auto fp8 = with_online_schemes(plain_experts(), at("vllm", "h100", "fp8_per_block"));
  ASSERT_TRUE(fp8);
  EXPECT_EQ(spelling(*fp8, "q_proj"), "fp8_e4m3_b128x128");
  EXPECT_EQ(spelling(*fp8, "experts.0.down_proj"), "fp8_e4m3_b128x128");
  for (const char* module : {"lm_head", "mlp.gate", "layers.0.fc1"})
    EXPECT_EQ(spelling(*fp8, module), "") << module;
  const auto nvfp4 = with_online_schemes(plain_experts(), at("vllm", "b200", "nvfp4_per_token"));
  ASSERT_TRUE(nvfp4);
  EXPECT_EQ(spelling(*nvfp4, "q_proj"), "");
  EXPECT_EQ(spelling(*nvfp4, "experts.0.down_proj"), "nvfp4");
}

TEST(PreflightOnlineSchemes, NothingIsMadeOfQuantizedWeightsNorWithoutAFlag) {
  EXPECT_FALSE(with_online_schemes(w4(), at("vllm", "h100", "fp8")));
  EXPECT_FALSE(with_online_schemes(plain(), target("vllm", "h100")));
  EXPECT_FALSE(with_online_schemes(plain(), at("vllm", "v100", "fp8")));
}

TEST(PreflightOnlineSchemes, EachSchemeOfVllmHasARow) {
  for (const std::string_view flag : target("vllm").engine->online) {
    const EngineTarget here = online(target("vllm"), std::string(flag));
    EXPECT_NE(find_online_scheme(here), nullptr) << flag;
    EXPECT_TRUE(with_online_schemes(plain_experts(), here)) << flag;
  }
}

struct OnlineCase {
  EngineTarget at;
  ArtefactFacts facts;
  const char* rule;
  bool fires;
};

// What the engine says of an artefact of the same format, or of the flag itself.
TEST(PreflightOnlineSchemes, SchemesMadeWhileLoadingMeetTheRulesOfDevicesAndShapes) {
  const ArtefactFacts narrow = resized(plain(), "down_proj", 512, 576);
  const ArtefactFacts ragged = resized(plain(), "gate_proj", 576, 512);
  const ArtefactFacts odd = resized(plain(), "down_proj", 512, 1000);
  const std::vector<OnlineCase> rows = {
      {at("vllm", "epyc-turin", "mxfp8"), plain(), "cpu-no-fp4", true},
      {at("vllm", "epyc-turin", "mxfp4"), plain(), "cpu-no-fp4", true},
      {at("vllm", "h100", "mxfp4"), plain(), "cpu-no-fp4", false},
      {at("vllm", "t4", "fp8"), plain(), "fp8-weight-only", true},
      {at("vllm", "a100", "fp8"), plain(), "fp8-weight-only", true},
      {at("vllm", "h100", "fp8"), plain(), "fp8-weight-only", false},
      {at("vllm", "h100", "mxfp8"), plain(), "mxfp8-weight-only", true},
      {at("vllm", "h100", "mxfp4"), plain(), "fp4-weight-only", true},
      {at("vllm", "t4", "mxfp4"), plain(), "fp4-weight-only", true},
      {at("vllm", "t4", "mxfp4"), plain(), "mxfp4-needs-ampere", false},
      {at("vllm", "b200", "mxfp4"), plain(), "fp4-weight-only", false},
      {at("vllm", "h100", "mxfp8"), odd, "group-width", true},
      {at("vllm", "h100", "fp8_per_block"), narrow, "fp8-block-columns", true},
      {at("vllm", "h100", "fp8_per_block"), plain(), "fp8-block-columns", false},
      {at("vllm", "h100", "fp8_per_channel"), narrow, "fp8-block-columns", false},
      // Of rows, the last block may be a part.
      {at("vllm", "h100", "fp8_per_block"), ragged, "fp8-block-rows", false},
      {at("vllm", "epyc-turin", "int8_per_channel_weight_only"), plain_experts(),
       "cpu-quantized-experts", true},
      {at("vllm", "epyc-turin", "int8_per_channel_weight_only"), plain(), "cpu-quantized-experts",
       false},
      {at("sglang", "a100", "fp8"), plain(), "sglang-fp8-weight-only", true},
      {at("sglang", "h100", "fp8"), plain(), "sglang-fp8-weight-only", false},
      {at("tgi", "a100", "fp8"), plain(), "tgi-fp8-marlin", true},
      {at("tgi", "h100", "fp8"), plain(), "tgi-fp8-marlin", false},
      {at("vllm", "m3-max", "fp8"), plain(), "no-kernel", true},
  };
  for (const OnlineCase& row : rows) {
    EXPECT_EQ(fires(row.rule, {row.facts, row.at}), row.fires)
        << row.rule << " " << row.at.online << " " << row.at.device->name;
  }
}

TEST(PreflightOnlineSchemes, EnginesRefuseFlagsOnDevicesThatTheyWereNotMadeFor) {
  const std::vector<OnlineCase> rows = {
      {at("vllm", "v100", "fp8"), plain(), "", true},
      {at("vllm", "t4", "fp8"), plain(), "", false},
      {at("vllm", "t4", "experts_int8"), plain_experts(), "", true},
      {at("vllm", "t4", "int8_per_channel_weight_only"), plain_experts(), "", false},
      {at("vllm", "a100", "fp8_per_channel"), plain(), "", true},
      {at("vllm", "l4", "fp8_per_channel"), plain(), "", false},
      {at("vllm", "h100", "nvfp4_per_token"), plain_experts(), "", true},
      {at("vllm", "epyc-turin", "nvfp4_per_token"), plain_experts(), "", true},
      {at("vllm", "rtx-5090", "nvfp4_per_token"), plain_experts(), "", true},
      {at("vllm", "b300", "nvfp4_per_token"), plain_experts(), "", false},
      {at("vllm", "h100", "nvfp4_per_token"), plain(), "", false},
      {at("vllm", "mi300x", "experts_int8"), plain_experts(), "", true},
      {at("vllm", "mi300x", "mxfp4"), plain(), "", false},
      {at("sglang", "t4", "fp8"), plain(), "", true},
      {at("sglang", "a100", "w8a8_fp8"), plain(), "", true},
      {at("sglang", "h100", "mxfp8"), plain(), "", true},
      {at("sglang", "h100", "nvfp4_online"), plain_experts(), "", true},
      {at("sglang", "mi300x", "nvfp4_online"), plain_experts(), "", true},
      {at("sglang", "mi300x", "fp8"), plain(), "", false},
  };
  for (const OnlineCase& row : rows) {
    EXPECT_EQ(fires("online-device", {row.facts, row.at}), row.fires)
        << row.at.online << " " << row.at.device->name;
    EXPECT_EQ(preflight(row.facts, row.at).worst == PreflightEffect::kRefuse, row.fires)
        << row.at.online << " " << row.at.device->name;
  }
  EXPECT_EQ(online_device_refusal(plain(), at("vllm", "v100", "fp8")),
            "fp8 needs compute capability 7.5, and v100-sxm has 7.0");
}

std::set<std::string> kernel_rules(const ArtefactFacts& facts, const EngineTarget& target) {
  std::set<std::string> ids;
  for (const PreflightFinding& finding : preflight(facts, target).findings) {
    const auto same = [&](const PreflightRule& rule) { return rule.id == finding.rule; };
    if (std::ranges::any_of(preflight_kernel_rules(), same)) ids.insert(finding.rule);
  }
  return ids;
}

TEST(PreflightOnlineSchemes, ADeviceSaysOfTheFlagWhatItSaysOfTheArtefact) {
  struct Format {
    const char* flag;
    const char* weight;
    const char* input;
  };
  for (const Format& format :
       {Format{"fp8_per_channel", "fp8_e4m3_channel", "fp8_e4m3_token"},
        Format{"fp8_per_block", "fp8_e4m3_b128x128", "fp8_e4m3_g128"},
        Format{"mxfp8", "mxfp8", "mxfp8"}, Format{"mxfp4", "mxfp4", "mxfp4"}}) {
    for (const char* device :
         {"a100", "l4", "h100", "b200", "rtx-5090", "mi300x", "mi355x", "epyc-turin", "xeon-spr"}) {
      const EngineTarget flag = at("vllm", device, format.flag);
      if (online_device_refusal(plain(), flag)) continue;
      EXPECT_EQ(kernel_rules(plain(), flag),
                kernel_rules(compressed(format.weight, format.input), target("vllm", device)))
          << format.flag << " " << device;
    }
  }
}

}  // namespace
}  // namespace quantlane
