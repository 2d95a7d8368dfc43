#include "api/lane_facts_of.h"

#include <map>
#include <string>

#include <gtest/gtest.h>

#include "recommend/throughput_model.h"

namespace quantlane {
namespace {

TEST(LaneFacts, TheArithmeticIsThatOfTheInputs) {
  const std::map<std::string, ComputePath> wanted = {
      {"bf16", ComputePath::kBf16},           {"fp8", ComputePath::kFp8},
      {"fp8-block", ComputePath::kFp8},       {"w8a8", ComputePath::kInt8},
      {"w4a16", ComputePath::kWeightOnly},    {"gptq", ComputePath::kWeightOnly},
      {"nvfp4", ComputePath::kFp4},           {"mxfp4", ComputePath::kFp4},
      {"nvfp4a16", ComputePath::kWeightOnly}, {"mxfp4a16", ComputePath::kWeightOnly},
      {"gguf:q4_k_m", ComputePath::kGguf}};
  for (const auto& [name, path] : wanted) {
    const auto lane = find_lane(name);
    ASSERT_TRUE(lane.has_value()) << name << ": " << lane.error().message();
    EXPECT_EQ(path_name(path_of(*lane)), path_name(path)) << name;
  }
}

TEST(LaneFacts, Fp4IsMultipliedByBlackwellAloneAndSavesMemoryBeforeIt) {
  const ModelFacts model{.parameters = 8e9,
                         .block_parameters = 7e9,
                         .head_parameters = 5e8,
                         .layers = 32,
                         .kv_bytes_per_token = 131072};
  for (const char* name : {"nvfp4", "mxfp4"}) {
    const LaneFacts lane = estimate_lane(name, path_of(find_lane(name).value()), model, 4.5);
    for (const char* device : {"a100", "l4", "rtx-4090", "h100-sxm", "h200-sxm"}) {
      const Projection old = project(model, lane, find_device(device).value(), {});
      EXPECT_FALSE(old.native) << name << " " << device;
      EXPECT_NE(old.bound, "no kernel") << name << " " << device;
    }
    EXPECT_TRUE(project(model, lane, find_device("b200").value(), {}).native) << name;
  }
}

}  // namespace
}  // namespace quantlane
