// MLX and GGUF adapters that contradict themselves or have no effect are refused with the key or
// said.
#include <cmath>
#include <cstring>
#include <initializer_list>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/adapters/adapter_fixtures.h"

namespace quantlane {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

// An MLX adapter of one up projection, of rank 2.
Result<BoundAdapter> merged_mlx(const std::string& config, bool magnitude) {
  const auto base = fixtures::open_base("llama");
  const Parameter& up = *base->graph()->find(Role::kUp, 1);
  const fixtures::ScratchFolder scratch;
  std::vector<PlannedTensor> plan = {
      {"model.layers.1.mlp.up_proj.lora_a", {DType::kF32, nullptr}, {up.cols, 2}},
      {"model.layers.1.mlp.up_proj.lora_b", {DType::kF32, nullptr}, {2, up.rows}}};
  if (magnitude) {
    plan.push_back({"model.layers.1.mlp.up_proj.m", {DType::kF32, nullptr}, {up.rows}});
  }
  const auto writer = create_safetensors(scratch.path() / "adapters.safetensors", plan, {}).value();
  for (std::size_t i = 0; i < plan.size(); ++i) {
    const std::vector<float> values(
        static_cast<std::size_t>(plan[i].shape[0] * (i == 2 ? 1 : plan[i].shape[1])), 0.5F);
    EXPECT_TRUE(writer->write(i, std::as_bytes(std::span(values))).has_value());
  }
  EXPECT_TRUE(writer->commit().has_value());
  EXPECT_TRUE(write_text(scratch.path() / "adapter_config.json", config).has_value());
  return fixtures::merge_of(scratch.path(), base);
}

TEST(MlxAdapters, RefuseConfigurationsThatContradictTheirTensors) {
  ASSERT_TRUE(merged_mlx(R"({"lora_parameters": {"scale": 2, "rank": 2}})", false).has_value());
  ASSERT_TRUE(merged_mlx(R"({"use_dora": true, "lora_parameters": {"scale": 2}})", true));
  struct MlxCase {
    std::string config;
    bool magnitude;
    std::string name;
  };
  for (const MlxCase& row : std::initializer_list<MlxCase>{
           {R"({"fine_tune_type": 1, "lora_parameters": {"scale": 2}})", false, "fine_tune_type"},
           {R"({"use_dora": "no", "lora_parameters": {"scale": 2}})", false, "use_dora"},
           {R"({"lora_parameters": {"scale": 0}})", false, "scale"},
           {R"({"lora_parameters": {"scale": 1e99}})", false, "scale"},
           {R"({"lora_parameters": {"scale": "2", "alpha": 4, "rank": 2}})", false, "scale"},
           {R"({"lora_parameters": {"alpha": 0, "rank": 2}})", false, "alpha"},
           {R"({"lora_parameters": {"scale": 2, "rank": 8}})", false, "up_proj.lora_a"},
           {R"({"lora_parameters": {"scale": 2}})", true, "up_proj.m"},
           {R"({"fine_tune_type": "full"})", false, "up_proj.lora_a"},
           {R"({"fine_tune_type": "dora", "lora_parameters": {"scale": 2}})", false, "lora_a"}}) {
    const auto bound = merged_mlx(row.config, row.magnitude);
    ASSERT_FALSE(bound.has_value()) << row.config;
    EXPECT_EQ(bound.error().code, ErrorCode::kCorrupt) << row.config;
    EXPECT_THAT(bound.error().tensor, HasSubstr(row.name));
    EXPECT_FALSE(bound.error().hint.empty());
  }
}

// plain.gguf with another alpha (the key is followed by the type and four bytes of value).
Result<BoundAdapter> merged_with_alpha(float alpha) {
  const std::string key = "adapter.lora.alpha";
  std::string bytes = read_text(fixtures::adapter_data("plain.gguf"), 1U << 20).value();
  const std::size_t at = bytes.find(key);
  EXPECT_NE(at, std::string::npos);
  std::memcpy(bytes.data() + at + key.size() + 4, &alpha, sizeof alpha);
  const fixtures::ScratchFolder scratch;
  EXPECT_TRUE(write_text(scratch.path() / "lora.gguf", bytes).has_value());
  return fixtures::merge_of(scratch.path() / "lora.gguf", fixtures::open_base("llama"));
}

TEST(GgufAdapters, SayWhatAnUnusualAlphaMeans) {
  const auto none = merged_with_alpha(0);
  ASSERT_TRUE(none.has_value());
  EXPECT_EQ(none->accounts.front().scale, 1);
  EXPECT_THAT(none->notices, Contains(HasSubstr("adapter.lora.alpha is 0")));
  const auto negative = merged_with_alpha(-4);
  ASSERT_TRUE(negative.has_value());
  EXPECT_THAT(negative->notices, Contains(HasSubstr("subtracted")));
  const auto huge = merged_with_alpha(1e30F);
  ASSERT_TRUE(huge.has_value());
  EXPECT_THAT(huge->notices, Contains(HasSubstr("is its alpha right?")));
  const auto usual = merged_with_alpha(4);
  ASSERT_TRUE(usual.has_value());
  EXPECT_THAT(usual->notices, Not(Contains(HasSubstr("alpha right?"))));
  for (const float damaged : {NAN, INFINITY, 1e-45F}) {
    const auto refused = merged_with_alpha(damaged);
    ASSERT_FALSE(refused.has_value()) << damaged;
    EXPECT_EQ(refused.error().code, ErrorCode::kCorrupt);
    EXPECT_EQ(refused.error().tensor, "adapter.lora.alpha");
    EXPECT_FALSE(refused.error().found.empty());
  }
}

}  // namespace
}  // namespace quantlane
