// Lanes resolve and are what their names say.
#include "quantize/lanes/lane.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "quantize/algorithms/algorithm.h"
#include "quantize/transforms/transform.h"

namespace quantlane {
namespace {

TEST(Lanes, EveryRowResolves) {
  const auto names = lane_names();
  EXPECT_GE(names.size(), 16U);
  for (const std::string& name : names) {
    const auto lane = find_lane(name);
    ASSERT_TRUE(lane.has_value()) << name << "\n" << lane.error().message();
    EXPECT_EQ(lane->name, name);
    EXPECT_FALSE(lane->summary.empty()) << name;
    EXPECT_FALSE(lane->engines.empty()) << name;
    const int kinds = static_cast<int>(lane->dialect != nullptr) +
                      static_cast<int>(lane->plain.has_value()) +
                      static_cast<int>(lane->recipe.has_value());
    EXPECT_EQ(kinds, 1) << name;
    if (lane->algorithm != "none") {
      EXPECT_NE(algorithm_by_name(lane->algorithm), nullptr) << name;
    }
    if (lane->dialect != nullptr) {
      LinearScheme scheme = lane->scheme;
      lane->dialect->writer->complete(scheme, DType::kBF16);
      EXPECT_EQ(lane->dialect->writer->cannot_hold(scheme, 256, 256), std::nullopt) << name;
    }
  }
  auto unique = names;
  std::ranges::sort(unique);
  EXPECT_EQ(std::ranges::unique(unique).size(), 0U);
}

TEST(Lanes, DefaultsExist) {
  EXPECT_EQ(default_lanes().size(), 6U);
  for (const std::string& name : default_lanes()) EXPECT_TRUE(find_lane(name).has_value()) << name;
}

TEST(Lanes, SchemesAreAsNamed) {
  EXPECT_EQ(find_lane("gguf:Q4_K_M").value().name, "gguf:q4_k_m");
  EXPECT_EQ(find_lane("FP8+GPTQ").value().name, "fp8+gptq");
  const auto fp8 = find_lane("fp8");
  ASSERT_TRUE(fp8.has_value());
  EXPECT_EQ(fp8->scheme.weight.spelling(), "fp8_e4m3_channel");
  ASSERT_TRUE(fp8->scheme.input.has_value());
  EXPECT_EQ(fp8->scheme.input->type, ValueType::kFloat);
  EXPECT_EQ(find_lane("w8a8")->scheme.input->type, ValueType::kInt);
  EXPECT_EQ(find_lane("w4a16")->scheme.weight.spelling(), "int4_g128_sym");
  EXPECT_FALSE(find_lane("w4a16")->scheme.input.has_value());
  EXPECT_EQ(find_lane("gguf:q4_k_m")->recipe->file_type, 15);
}

// Formats that are called as an algorithm say which lane runs it; others have nothing to say.
TEST(Lanes, NamedLikeAnAlgorithmSayWhichLaneRunsIt) {
  std::vector<std::string> names = lane_names();
  names.insert(names.end(), {"awq-g32", "gptq-int8", "gptq-channel", "gptq-v2-int4-g64"});
  for (const std::string& name : names) {
    const std::string stem = name.substr(0, name.find('-'));
    const bool like = transform_by_name(stem) != nullptr || algorithm_by_name(stem) != nullptr;
    const Lane lane = find_lane(name).value();
    ASSERT_EQ(!lane.notes.empty(), like) << name;
    if (!like) continue;
    const std::string instead = name + "+" + stem;
    EXPECT_NE(lane.notes[0].find(instead + " "), std::string::npos) << lane.notes[0];
    for (const char* part : {"+awq", "+gptq", "+weighted", "+rtn"}) {
      EXPECT_TRUE(find_lane(name + part).value().notes.empty()) << name << part;
    }
    EXPECT_TRUE(find_lane(instead)->algorithm == stem ||
                find_lane(instead)->transforms == std::vector<std::string>{stem});
  }
}

TEST(Lanes, ThatDoNotQuantizeAreRotatedButNotRounded) {
  for (const char* name : {"f32", "bf16", "f16", "gguf:f32", "gguf:bf16"}) {
    const auto rotated = find_lane(std::string(name) + "+rotate");
    ASSERT_TRUE(rotated.has_value()) << name << "\n" << rotated.error().message();
    EXPECT_EQ(rotated->transforms, std::vector<std::string>{"rotate"});
    for (const char* part :
         {"+awq", "+smoothquant", "+gptq", "+rtn", "+rotate+gptq", "+rotate+awq"})
      EXPECT_FALSE(find_lane(std::string(name) + part).has_value()) << name << part;
  }
}

TEST(Lanes, OfASizeRefuseAlgorithmsThatDoNotWeighErrors) {
  for (const char* name : {"gguf:best-4.5bpw", "gguf:best-4.5bpw+weighted", "gguf:best-4.5bpw+gptq",
                           "gguf:best-4.5bpw+awq"})
    EXPECT_TRUE(find_lane(name).has_value()) << name;
  const auto refused = find_lane("gguf:best-4.5bpw+rtn");
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kUsage);
  EXPECT_NE(refused.error().hint.find("+rtn"), std::string::npos);
}

TEST(Lanes, UnknownNamesListTheKnown) {
  for (const char* name : {"w9a16", "", "gguf:", "gguf:fp8", "q4_k_m"}) {
    const auto lane = find_lane(name);
    ASSERT_FALSE(lane.has_value()) << name;
    EXPECT_EQ(lane.error().code, ErrorCode::kUsage);
    for (const std::string& known : lane_names()) {
      if (known.starts_with("gguf:")) continue;  // all types are listed by the help
      EXPECT_NE(lane.error().expected.find(known), std::string::npos) << known;
    }
  }
}

}  // namespace
}  // namespace quantlane
