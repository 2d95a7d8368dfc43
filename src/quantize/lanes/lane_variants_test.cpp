// Lanes whose names spell widths and groups out.
#include "quantize/lanes/lane_variants.h"

#include <cmath>
#include <map>

#include <gmock/gmock.h>

#include "model/checkpoint_fixtures.h"
#include "quantize/lanes/lane.h"
#include "quantize/pipeline.h"

namespace quantlane {
namespace {

using fixtures::EditableCheckpoint;
using fixtures::open_checkpoint;
using fixtures::ScratchFolder;

struct SpelledOut {
  std::string name;
  std::string dialect;
  std::string scheme;
};

// All widths that a dialect has, each with several groups and one scale per row.
std::vector<SpelledOut> spelled_out() {
  std::vector<SpelledOut> lanes;
  const auto add = [&](const std::string& stem, const std::string& end, const std::string& dialect,
                       int bits, const std::string& symmetry) {
    for (const std::string group : {"g32", "g128", "channel"}) {
      lanes.push_back({stem + std::to_string(bits) + end + "-" + group, dialect,
                       "int" + std::to_string(bits) + "_" + group + "_" + symmetry});
    }
  };
  for (int bits = 2; bits <= 8; ++bits) {
    add("w", "a16", "compressed-tensors", bits, "sym");
    add("w", "a16-asym", "compressed-tensors", bits, "asym");
  }
  for (const int bits : {2, 3, 4, 8}) {
    add("gptq-int", "", "gptq", bits, "sym");
    add("gptq-v2-int", "", "gptq_v2", bits, "sym");
    add("gptq-v2-int", "-asym", "gptq_v2", bits, "asym");
  }
  lanes.push_back({"awq-g32", "awq", "int4_g32_asym"});
  lanes.push_back({"awq-g64", "awq", "int4_g64_asym"});
  lanes.push_back({"gptq-g64", "gptq", "int4_g64_sym"});
  return lanes;
}

TEST(LaneVariants, SchemesAreAsSpelled) {
  for (const SpelledOut& wanted : spelled_out()) {
    const auto lane = find_lane(wanted.name);
    ASSERT_TRUE(lane.has_value()) << wanted.name << "\n" << lane.error().message();
    EXPECT_EQ(lane->name, wanted.name);
    EXPECT_EQ(lane->dialect->name, wanted.dialect) << wanted.name;
    EXPECT_EQ(lane->scheme.weight.spelling(), wanted.scheme) << wanted.name;
    EXPECT_FALSE(lane->scheme.input.has_value());
    EXPECT_EQ(lane->groups.chosen,
              wanted.name.find("-g") < wanted.name.size() && !wanted.name.ends_with("-channel"))
        << wanted.name;
  }
  // Without a group they have the lane's, which may give way to a smaller one.
  EXPECT_EQ(find_lane("w5a16")->scheme.weight.spelling(), "int5_g128_sym");
  EXPECT_FALSE(find_lane("w5a16")->groups.chosen);
  EXPECT_FALSE(find_lane("gptq")->groups.chosen);
  EXPECT_EQ(find_lane("W4A16-G64+awq+gptq")->name, "w4a16-g64+awq+gptq");
}

TEST(LaneVariants, OnlyNamesEnginesThatLoadTheWidth) {
  EXPECT_THAT(find_lane("w8a16-g32")->engines, testing::HasSubstr("vLLM"));
  EXPECT_THAT(find_lane("gptq-int8")->engines, testing::HasSubstr("vLLM"));
  EXPECT_EQ(find_lane("w5a16-channel")->engines, "vLLM, transformers");
  for (const char* name : {"gptq-int3-g32", "gptq-v2-int8-asym"})
    EXPECT_EQ(find_lane(name)->engines, "transformers") << name;
}

TEST(LaneVariants, WhatNoLaneStandsForIsRefusedWithTheGrammar) {
  for (const char* name : {"w1a16",
                           "w9a16",
                           "w16a16",
                           "wa16",
                           "w{bits}a16",
                           "w4a16-g",
                           "w4a16-g48",
                           "w4a16-g064",
                           "w4a16-g64-asym",
                           "w4a16-g64-g64",
                           "w4a16-channel-g64",
                           "w4a16-tensor",
                           "awq-channel",
                           "awq-int8",
                           "gptq-int5",
                           "gptq-asym",
                           "gptq-v2-int",
                           "fp8-g64",
                           "w8a8-g128",
                           "nf4-g128",
                           "-g64",
                           "-channel",
                           "bf16-channel"}) {
    const auto lane = find_lane(name);
    ASSERT_FALSE(lane.has_value()) << name;
    EXPECT_EQ(lane.error().code, ErrorCode::kUsage) << name;
    EXPECT_THAT(lane.error().expected, testing::HasSubstr("w<2|3|4|5|6|7|8>a16-asym[-g<16|32|"));
    EXPECT_THAT(lane.error().expected, testing::HasSubstr("awq[-g<16|32|64|128|256|512|1024>]"));
    EXPECT_THAT(lane.error().expected, testing::HasSubstr("gptq-v2-int<2|3|4|8>-asym["));
  }
}

TEST(LaneVariants, NearMissesAreAnsweredWithTheSizesThatExist) {
  EXPECT_EQ(find_lane("w4a16-g65").error().hint,
            "there are w4a16-g16, w4a16-g32, w4a16-g64, w4a16-g128, w4a16-g256, w4a16-g512, "
            "w4a16-g1024, w4a16-channel");
  EXPECT_THAT(find_lane("awq-channel").error().hint, testing::EndsWith("awq-g512, awq-g1024"));
  EXPECT_THAT(find_lane("gptq-int8-g48").error().hint, testing::HasSubstr("gptq-int8-g64"));
  EXPECT_THAT(find_lane("fp8-g64").error().hint, testing::HasSubstr("--help"));
}

// The first layer of the canary.
std::shared_ptr<const Checkpoint> one_layer(const fs::path& folder) {
  EditableCheckpoint model = EditableCheckpoint::read(fixtures::kCanary);
  model.config.set("num_hidden_layers", 1);
  std::erase_if(model.tensors, [](const EditableCheckpoint::Tensor& tensor) {
    return tensor.plan.name.starts_with("model.layers.") &&
           !tensor.plan.name.starts_with("model.layers.0.");
  });
  fs::create_directories(folder);
  model.write(folder);
  return open_checkpoint(folder);
}

Result<QuantizeSummary> write_lane(const Checkpoint& source, const std::string& name,
                                   const fs::path& out) {
  const auto lane = find_lane(name);
  if (!lane) return std::unexpected(lane.error());
  ThreadPool pool(2);
  return run_quantize({.source = source, .lane = *lane, .out = out}, pool, no_progress());
}

// Sum of squared errors of all Linears that `artefact` holds in `scheme`.
double squared_error(const Checkpoint& artefact, const Checkpoint& source,
                     const std::string& scheme) {
  double sum = 0;
  for (const Parameter& p : source.graph()->parameters) {
    if (!is_block_linear(p.role)) continue;
    const auto stored = artefact.weight(p);
    const auto original = source.weight(p);
    if (!stored || !original || stored->quantized() == nullptr) {
      ADD_FAILURE() << p.name;
      return 0;
    }
    EXPECT_EQ(stored->quantized()->scheme.spelling(), scheme) << p.name;
    std::vector<float> got(static_cast<std::size_t>(p.rows * p.cols));
    std::vector<float> want(got.size());
    stored->decode_rows(0, p.rows, got.data());
    original->decode_rows(0, p.rows, want.data());
    for (std::size_t i = 0; i < got.size(); ++i) {
      const double off = static_cast<double>(got[i]) - static_cast<double>(want[i]);
      sum += off * off;
    }
  }
  return sum;
}

TEST(LaneVariants, ReadBackAsAskedForAndErrLessWithEveryBit) {
  const ScratchFolder scratch;
  const auto source = one_layer(scratch.path() / "model");
  ASSERT_NE(source, nullptr);
  // By dialect, symmetry and groups: the error of the width before.
  std::map<std::string, double> before;
  for (const SpelledOut& wanted : spelled_out()) {
    const fs::path out = scratch.path() / wanted.name;
    const auto written = write_lane(*source, wanted.name + "+rtn", out);
    ASSERT_TRUE(written.has_value()) << wanted.name << "\n" << written.error().message();
    EXPECT_EQ(written->format, wanted.scheme);
    const auto artefact = open_checkpoint(out);
    ASSERT_NE(artefact, nullptr) << wanted.name;
    EXPECT_EQ(artefact->dialect()->name, wanted.dialect) << wanted.name;
    const double error = squared_error(*artefact, *source, wanted.scheme);
    const std::string kind = wanted.dialect + wanted.scheme.substr(4);
    if (const auto last = before.find(kind); last != before.end() && wanted.scheme[3] != '4') {
      // A bit halves the steps, hence quarters squares; zero points and clipping take a part of it.
      EXPECT_LT(error, 0.45 * last->second) << wanted.name;
    }
    EXPECT_GT(error, 0) << wanted.name;
    before[kind] = error;
    fs::remove_all(out);
  }
}

TEST(LaneVariants, AChosenGroupHoldsOrIsRefusedWithThoseThatFit) {
  const ScratchFolder scratch;
  const auto source = one_layer(scratch.path() / "model");  // widths 256 and 768
  ASSERT_NE(source, nullptr);
  for (const std::string name : {"w4a16-g512", "w4a16-g512+gptq", "awq-g512", "gptq-int8-g1024"}) {
    const auto refused = write_lane(*source, name, scratch.path() / "out");
    ASSERT_FALSE(refused.has_value()) << name;
    EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported) << name;
    EXPECT_EQ(refused.error().tensor, "model.layers.0.mlp.down_proj.weight") << name;
    EXPECT_THAT(refused.error().expected, testing::HasSubstr("16, 32, 64, 128, 256")) << name;
    EXPECT_THAT(refused.error().expected, testing::Not(testing::HasSubstr("512"))) << name;
    EXPECT_THAT(refused.error().found, testing::HasSubstr("the 768 columns of")) << name;
    EXPECT_THAT(refused.error().hint, testing::HasSubstr("-g64, ")) << name;
    EXPECT_EQ(refused.error().hint.find("-channel") == std::string::npos, name.starts_with("awq"));
    EXPECT_FALSE(fs::exists(scratch.path() / "out"));
  }
  EXPECT_TRUE(write_lane(*source, "w4a16-g256", scratch.path() / "fits").has_value());
}

TEST(LaneVariants, CodesOfOtherGroupsAreNotTakenForChosenOnes) {
  const ScratchFolder scratch;
  const auto source = one_layer(scratch.path() / "model");
  ASSERT_NE(source, nullptr);
  ASSERT_TRUE(write_lane(*source, "w4a16-g32", scratch.path() / "g32").has_value());
  const auto stored = open_checkpoint(scratch.path() / "g32");
  ASSERT_NE(stored, nullptr);
  // The dialect changes, the groups stay, unless others are named.
  const auto same = write_lane(*stored, "gptq", scratch.path() / "gptq");
  ASSERT_TRUE(same.has_value()) << same.error().message();
  EXPECT_EQ(same->format, "int4_g32_sym");
  EXPECT_TRUE(write_lane(*stored, "gptq-g32", scratch.path() / "gptq32").has_value());
  const auto others = write_lane(*stored, "gptq-g64", scratch.path() / "gptq64");
  ASSERT_FALSE(others.has_value());
  EXPECT_EQ(others.error().code, ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace quantlane
