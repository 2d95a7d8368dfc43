// Folders whose Linears have several schemes.
#include "quantize/folder/folder_schemes.h"

#include <algorithm>
#include <map>

#include <gmock/gmock.h>

#include "model/checkpoint_fixtures.h"
#include "quantize/lanes/lane.h"
#include "quantize/lanes/lane_needs.h"
#include "quantize/pipeline.h"

namespace quantlane {
namespace {

using fixtures::open_checkpoint;
using fixtures::ScratchFolder;

Result<Lane> lane_with(const std::string& name, const std::vector<std::string>& overrides) {
  auto lane = find_lane(name);
  if (!lane) return lane;
  for (const std::string& text : overrides) {
    auto override = parse_scheme_override(text, *lane);
    if (!override) return std::unexpected(override.error());
    lane->overrides.push_back(std::move(*override));
  }
  return lane;
}

Result<QuantizeSummary> write_mixed(const Checkpoint& source, const fs::path& out,
                                    const std::string& name,
                                    const std::vector<std::string>& overrides) {
  const auto lane = lane_with(name, overrides);
  if (!lane) return std::unexpected(lane.error());
  ThreadPool pool(2);
  return run_quantize({.source = source, .lane = *lane, .out = out}, pool, no_progress());
}

std::vector<float> decoded(const Checkpoint& checkpoint, const Parameter& p) {
  const auto weight = checkpoint.weight(p);
  EXPECT_TRUE(weight.has_value()) << p.name;
  std::vector<float> values(static_cast<std::size_t>(p.rows * p.cols));
  if (weight) weight->decode_rows(0, p.rows, values.data());
  return values;
}

std::string scheme_in(const Checkpoint& artefact, const Parameter& p) {
  const auto weight = artefact.weight(p);
  if (!weight || weight->quantized() == nullptr) return "plain";
  return weight->quantized()->scheme.spelling() + (weight->input_rounding() ? " rounded" : "");
}

TEST(FolderSchemes, EveryLinearIsWhatItsOwnLaneWouldMakeOfIt) {
  const ScratchFolder scratch;
  const auto source = open_checkpoint(fixtures::kCanary);
  const auto written =
      write_mixed(*source, scratch.path() / "mixed", "w4a16",
                  {R"(layers\.5\.mlp=keep)", "down_proj=w8a16-g64", R"(0\.self_attn\.[qkv]_=fp8)"});
  ASSERT_TRUE(written.has_value()) << written.error().message();
  EXPECT_EQ(written->tensor_types.at("int4_g128_sym"), 31);
  EXPECT_EQ(written->tensor_types.at("int8_g64_sym"), 5);
  EXPECT_EQ(written->tensor_types.at("fp8_e4m3_channel"), 3);
  const auto mixed = open_checkpoint(scratch.path() / "mixed");
  ASSERT_NE(mixed, nullptr);
  std::map<std::string, std::shared_ptr<const Checkpoint>> pure;
  for (const std::string lane : {"w4a16", "w8a16-g64", "fp8+weighted"}) {
    ASSERT_TRUE(write_mixed(*source, scratch.path() / lane, lane, {}).has_value());
    pure[lane] = open_checkpoint(scratch.path() / lane);
  }
  for (const Parameter& p : source->graph()->parameters) {
    if (!is_block_linear(p.role)) continue;
    const bool mlp = p.name.find(".mlp.") != std::string::npos;
    const bool qkv = p.role == Role::kQuery || p.role == Role::kKey || p.role == Role::kValue;
    if (p.layer == 5 && mlp) {
      EXPECT_EQ(scheme_in(*mixed, p), "plain") << p.name;
      EXPECT_EQ(decoded(*mixed, p), decoded(*source, p)) << p.name;
      continue;
    }
    const std::string lane = p.role == Role::kDown ? "w8a16-g64"
                             : p.layer == 0 && qkv ? "fp8+weighted"
                                                   : "w4a16";
    EXPECT_EQ(scheme_in(*mixed, p), scheme_in(*pure[lane], p)) << p.name;
    EXPECT_EQ(decoded(*mixed, p), decoded(*pure[lane], p)) << p.name;
  }
}

// vLLM asks the class name of a fused module before the names of its shards.
TEST(FolderSchemes, GroupsNameTheirModulesAndTheirFormats) {
  const auto source = open_checkpoint(fixtures::kCanary);
  const Lane lane = lane_with("w4a16", {"down_proj=fp8"}).value();
  const Json config = plan_quantize({.source = *source, .lane = lane}).value().config;
  const Json& quantization = config["quantization_config"];
  EXPECT_EQ(quantization["format"].string(), "mixed-precision");
  const auto& groups = quantization["config_groups"].members();
  ASSERT_EQ(groups.size(), 2U);
  EXPECT_EQ(groups[0].second["format"].string(), "pack-quantized");
  EXPECT_EQ(groups[0].second["targets"].items().size(), 36U);
  EXPECT_EQ(groups[1].second["format"].string(), "float-quantized");
  EXPECT_EQ(groups[1].second["targets"].items().size(), 6U);
  for (const Json& target : groups[1].second["targets"].items())
    EXPECT_THAT(std::string(target.string()),
                testing::MatchesRegex("model.layers.*.mlp.down_proj"));
  // Widths alone do not make another format.
  const Lane packed = lane_with("w4a16", {"down_proj=w8a16"}).value();
  EXPECT_EQ(plan_quantize({.source = *source, .lane = packed})
                .value()
                .config["quantization_config"]["format"]
                .string(),
            "pack-quantized");
}

TEST(FolderSchemes, WhatEnginesLoadAsOneHasOneScheme) {
  const auto source = open_checkpoint(fixtures::kCanary);
  for (const char* pattern :
       {"q_proj=w8a16", "k_proj=keep", "v_proj=w4a16-g64", "gate_proj=fp8", "up_proj=keep"}) {
    const Lane lane = lane_with("w4a16", {pattern}).value();
    const auto refused = plan_quantize({.source = *source, .lane = lane});
    ASSERT_FALSE(refused.has_value()) << pattern;
    EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
    EXPECT_THAT(refused.error().expected, testing::HasSubstr("which engines load as one"));
  }
  for (const char* pattern : {"o_proj=w8a16", "[qkv]_proj=w8a16", "(gate|up)_proj=keep",
                              "q_proj=w4a16-g128", R"(layers\.3\.=fp8)"}) {
    const Lane lane = lane_with("w4a16", {pattern}).value();
    EXPECT_TRUE(plan_quantize({.source = *source, .lane = lane}).has_value()) << pattern;
  }
}

TEST(FolderSchemes, ExpertsOfALayerAreAlikeAndShareAnExpression) {
  const ScratchFolder scratch;
  const auto source = open_checkpoint(fixtures::model_data("mixtral"));
  ASSERT_NE(source, nullptr);
  const Lane one = lane_with("w8a16-channel", {R"(experts\.0\.=w4a16-channel)"}).value();
  EXPECT_EQ(plan_quantize({.source = *source, .lane = one}).error().code, ErrorCode::kUnsupported);
  const Lane gates = lane_with("w8a16-channel", {R"(experts\.\d+\.w1=w4a16-channel)"}).value();
  EXPECT_EQ(plan_quantize({.source = *source, .lane = gates}).error().code,
            ErrorCode::kUnsupported);
  ASSERT_TRUE(write_mixed(*source, scratch.path() / "all", "w8a16-channel",
                          {R"(layers\.0\..*experts=w4a16-channel)"})
                  .has_value());
  const auto artefact = open_checkpoint(scratch.path() / "all");
  ASSERT_NE(artefact, nullptr);
  int experts = 0;
  for (const Parameter& p : source->graph()->parameters) {
    if (!is_block_linear(p.role)) continue;
    const bool four = p.layer == 0 && p.name.find(".experts.") != std::string::npos;
    experts += static_cast<int>(four);
    EXPECT_EQ(scheme_in(*artefact, p), four ? "int4_channel_sym" : "int8_channel_sym") << p.name;
  }
  EXPECT_GT(experts, 3);
  const Json& groups = artefact->config_json()["quantization_config"]["config_groups"];
  std::size_t shortest = 1000;
  for (const auto& [name, group] : groups.members())
    shortest = std::min(shortest, group["targets"].items().size());
  EXPECT_EQ(shortest, 3U);  // w1, w2 and w3 of all experts of layer 0
}

TEST(FolderSchemes, OverridesThatSayNothingAreRefused) {
  const auto refused_words = [](const std::string& lane, const std::string& text) {
    const auto refused = lane_with(lane, {text});
    return refused ? std::string() : refused.error().expected;
  };
  EXPECT_THAT(refused_words("w4a16", "down_proj"), testing::HasSubstr("pattern=lane"));
  EXPECT_THAT(refused_words("w4a16", "=w8a16"), testing::HasSubstr("pattern=lane"));
  EXPECT_THAT(refused_words("w4a16", "down=q8_0"), testing::HasSubstr("w8a16"));
  EXPECT_THAT(refused_words("w4a16", "down=gptq"), testing::HasSubstr("compressed-tensors"));
  EXPECT_THAT(refused_words("w4a16", "down=w8a16+gptq"), testing::HasSubstr("without"));
  EXPECT_THAT(refused_words("awq", "down=awq-g32"), testing::HasSubstr("keep"));
  EXPECT_THAT(refused_words("gptq", "down=gptq-int8"), testing::HasSubstr("keep"));
  EXPECT_EQ(refused_words("awq", "down=keep"), "");
  EXPECT_FALSE(lane_with("w4a16", {"(=w8a16"}).has_value());
  const auto source = open_checkpoint(fixtures::kCanary);
  for (const std::vector<std::string>& overrides :
       {std::vector<std::string>{"embed=w8a16"}, {"mlp=w8a16", "down_proj=fp8"}}) {
    const Lane lane = lane_with("w4a16", overrides).value();
    const auto plan = plan_quantize({.source = *source, .lane = lane});
    ASSERT_FALSE(plan.has_value());
    EXPECT_EQ(plan.error().code, ErrorCode::kUsage);
  }
}

TEST(FolderSchemes, ChosenGroupsOfOverridesHold) {
  const auto source = open_checkpoint(fixtures::kCanary);
  const Lane fits = lane_with("w4a16", {"[qkv]_proj=w8a16-g256"}).value();
  EXPECT_TRUE(plan_quantize({.source = *source, .lane = fits}).has_value());
  const Lane wide = lane_with("w4a16", {"down_proj=w8a16-g512"}).value();
  const auto refused = plan_quantize({.source = *source, .lane = wide});
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().hint, testing::HasSubstr("w8a16-g256, w8a16-channel"));
}

TEST(FolderSchemes, StaticInputsOfOverridesAreCalibrated) {
  EXPECT_FALSE(wants_input_scales(lane_with("w4a16", {"down_proj=w8a8"}).value()));
  EXPECT_FALSE(wants_input_scales(lane_with("w4a16", {"down_proj=keep"}).value()));
  EXPECT_TRUE(wants_input_scales(lane_with("w4a16", {"down_proj=w8a8-static"}).value()));
}

}  // namespace
}  // namespace quantlane
