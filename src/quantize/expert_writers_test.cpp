// Writers of models with experts: one tensor per expert and all in one give the same artefact.
#include <algorithm>
#include <set>

#include <gmock/gmock.h>

#include "model/checkpoint_fixtures.h"
#include "quantize/gguf_plan.h"
#include "quantize/pipeline.h"

namespace quantlane {
namespace {

using fixtures::open_checkpoint;
using testing::Contains;
using testing::HasSubstr;

class ExpertWriters : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    apart_ = open_checkpoint(fixtures::model_data(GetParam()));
    fused_ = open_checkpoint(fixtures::model_data(std::string(GetParam()) + "-fused"));
    ASSERT_TRUE(apart_ != nullptr && fused_ != nullptr);
  }
  std::unique_ptr<Container> written(const Checkpoint& source, const std::string& lane_name,
                                     const fs::path& out) {
    const auto lane = find_lane(lane_name);
    EXPECT_TRUE(lane.has_value());
    const auto summary =
        run_quantize({.source = source, .lane = *lane, .out = out}, pool_, no_progress());
    EXPECT_TRUE(summary.has_value()) << summary.error().message();
    auto container = open_container(out);
    EXPECT_TRUE(container.has_value());
    return container ? std::move(*container) : nullptr;
  }
  static void expect_same(const Container& a, const Container& b) {
    ASSERT_EQ(a.tensors().size(), b.tensors().size());
    for (const TensorInfo& tensor : a.tensors()) {
      const TensorInfo* other = b.find(tensor.name);
      ASSERT_NE(other, nullptr) << tensor.name;
      EXPECT_EQ(other->shape, tensor.shape) << tensor.name;
      EXPECT_TRUE(std::ranges::equal(a.bytes(tensor), b.bytes(*other))) << tensor.name;
    }
  }

  ThreadPool pool_{2};
  const fixtures::ScratchFolder scratch_;
  std::shared_ptr<const Checkpoint> apart_, fused_;
};
INSTANTIATE_TEST_SUITE_P(Families, ExpertWriters, testing::ValuesIn(fixtures::kFusedFamilies),
                         [](const auto& family) {
                           std::string name = family.param;
                           std::erase(name, '-');
                           return name;
                         });

TEST_P(ExpertWriters, FoldersHaveOneLinearPerExpertHoweverTheSourceStoresThem) {
  for (const char* lane : {"w8a8", "fp8"}) {
    const auto a = written(*apart_, lane, scratch_.path() / "a" / lane);
    const auto b = written(*fused_, lane, scratch_.path() / "b" / lane);
    ASSERT_TRUE(a != nullptr && b != nullptr);
    expect_same(*a, *b);
    const auto artefact = open_checkpoint(scratch_.path() / "b" / lane);
    ASSERT_NE(artefact, nullptr);
    const Json& ignore = artefact->config_json()["quantization_config"]["ignore"];
    std::set<std::string> ignored;
    for (const Json& module : ignore.items()) ignored.emplace(module.string());
    for (const Parameter& p : artefact->graph()->parameters) {
      if (!is_matrix(p.role) || p.role == Role::kEmbedding) continue;
      const auto weight = artefact->weight(p);
      ASSERT_TRUE(weight.has_value()) << weight.error().message();
      EXPECT_EQ(weight->quantized() != nullptr, is_block_linear(p.role)) << p.name;
      EXPECT_EQ(ignored.contains(std::string(p.module())), !is_block_linear(p.role)) << p.name;
    }
  }
}

TEST_P(ExpertWriters, PlainFoldersKeepTheTensorsOfTheSource) {
  for (const auto& source : {apart_, fused_}) {
    const auto copy = written(*source, "bf16", scratch_.path() / (source == apart_ ? "a" : "b"));
    ASSERT_NE(copy, nullptr);
    expect_same(source->container(), *copy);
  }
}

TEST_P(ExpertWriters, GgufIsTheSameAndGoesBackToOneTensorPerExpert) {
  const auto a = written(*apart_, "gguf:bf16", scratch_.path() / "a.gguf");
  const auto b = written(*fused_, "gguf:bf16", scratch_.path() / "b.gguf");
  ASSERT_TRUE(a != nullptr && b != nullptr);
  expect_same(*a, *b);
  EXPECT_EQ(a->find("blk.0.ffn_gate_inp.weight")->type.name(), "f32");
  EXPECT_EQ(a->find("blk.0.ffn_down_exps.weight")->shape.size(), 3U);
  const auto gguf = open_checkpoint(scratch_.path() / "a.gguf");
  ASSERT_NE(gguf, nullptr);
  EXPECT_EQ(gguf->graph()->config.experts, apart_->graph()->config.experts);
  const auto back = written(*gguf, "bf16", scratch_.path() / "back");
  ASSERT_NE(back, nullptr);
  expect_same(apart_->container(), *back);
}

TEST(ExpertPlans, RoutersStayAndExpertsCountInRecipes) {
  const auto source = open_checkpoint(fixtures::model_data("mixtral"));
  ASSERT_NE(source, nullptr);
  const auto lane = find_lane("gguf:mxfp4_moe");
  ASSERT_TRUE(lane.has_value());
  QuantizeJob job{.source = *source, .lane = *lane};
  const auto plan = plan_gguf(job);
  ASSERT_TRUE(plan.has_value()) << plan.error().message();
  for (const GgufPlan::Item& item : plan->items) {
    const bool stacked = item.tensor.name.find("_exps") != std::string::npos;
    EXPECT_EQ(item.parameters.size(), stacked ? 5U : 1U) << item.tensor.name;
    if (!item.parameters.empty() && item.parameters[0]->role == Role::kRouter) {
      EXPECT_EQ(item.tensor.type.name(), "f32");
    }
  }
}

TEST(ExpertPlans, SayWhatLlamaCppDoesNotLoad) {
  const auto lane = find_lane("gguf:f32");
  ASSERT_TRUE(lane.has_value());
  const std::pair<const char*, const char*> kCaveats[] = {{"qwen3-moe", "experts in every layer"},
                                                          {"qwen3-moe-step", "in every layer"}};
  for (const auto& [family, text] : kCaveats) {
    const auto source = open_checkpoint(fixtures::model_data(family));
    ASSERT_NE(source, nullptr);
    const auto plan = plan_gguf({.source = *source, .lane = *lane});
    ASSERT_TRUE(plan.has_value()) << plan.error().message();
    EXPECT_THAT(plan->notices, Contains(HasSubstr(text))) << family;
  }
}

}  // namespace
}  // namespace quantlane
