// Writers of models with experts: one tensor per expert and all in one give the same artefact.
#include <algorithm>
#include <set>

#include <gmock/gmock.h>

#include "model/checkpoint_fixtures.h"
#include "quantize/gguf/gguf_plan.h"
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

// The models have no tokenizer, so their GGUF files come from the fixture's writer.
std::shared_ptr<const Checkpoint> as_gguf(const Checkpoint& source, const fs::path& path) {
  fixtures::write_gguf(source, path);
  return open_checkpoint(path);
}

TEST_P(ExpertWriters, GgufIsTheSameAndGivesBackEveryExpert) {
  const auto gguf = as_gguf(*apart_, scratch_.path() / "a.gguf");
  const auto other = as_gguf(*fused_, scratch_.path() / "b.gguf");
  ASSERT_TRUE(gguf != nullptr && other != nullptr);
  expect_same(gguf->container(), other->container());
  EXPECT_EQ(gguf->graph()->config.experts, apart_->graph()->config.experts);
  const auto half = written(*gguf, "gguf:bf16", scratch_.path() / "half.gguf");
  ASSERT_NE(half, nullptr);
  EXPECT_EQ(half->find("blk.0.ffn_gate_inp.weight")->type.name(), "f32");
  EXPECT_EQ(half->find("blk.0.ffn_down_exps.weight")->type.name(), "bf16");
  EXPECT_EQ(half->find("blk.0.ffn_down_exps.weight")->shape.size(), 3U);
  const auto again = open_checkpoint(scratch_.path() / "half.gguf");
  ASSERT_NE(again, nullptr);
  for (const Parameter& p : apart_->graph()->parameters) {
    const auto want = apart_->weight(p);
    const auto back = again->weight(p);
    ASSERT_TRUE(want.has_value() && back.has_value()) << p.name;
    std::vector<float> a(static_cast<std::size_t>(p.rows * p.cols));
    std::vector<float> b(a.size());
    want->decode_rows(0, p.rows, a.data());
    back->decode_rows(0, p.rows, b.data());
    EXPECT_EQ(a, b) << p.name;
  }
}

TEST(ExpertPlans, RoutersStayAndExpertsAreOneTensor) {
  const fixtures::ScratchFolder scratch;
  const auto folder = open_checkpoint(fixtures::model_data("mixtral"));
  ASSERT_NE(folder, nullptr);
  const auto source = as_gguf(*folder, scratch.path() / "a.gguf");
  ASSERT_NE(source, nullptr);
  const auto lane = find_lane("gguf:mxfp4_moe");
  ASSERT_TRUE(lane.has_value());
  const auto plan = plan_gguf({.source = *source, .lane = *lane});
  ASSERT_TRUE(plan.has_value()) << plan.error().message();
  for (const GgufPlan::Item& item : plan->items) {
    const bool stacked = item.tensor.name.find("_exps") != std::string::npos;
    EXPECT_EQ(item.parameters.size(), stacked ? 5U : 1U) << item.tensor.name;
    if (item.parameters[0]->role == Role::kRouter) {
      EXPECT_EQ(item.tensor.type.name(), "f32") << item.tensor.name;
    }
  }
}

TEST(ExpertPlans, SayWhatLlamaCppDoesNotLoad) {
  const fixtures::ScratchFolder scratch;
  const auto lane = find_lane("gguf:f32");
  ASSERT_TRUE(lane.has_value());
  const auto notices = [&](const std::shared_ptr<const Checkpoint>& folder) {
    const auto source = as_gguf(*folder, scratch.path() / "a.gguf");
    const auto plan = plan_gguf({.source = *source, .lane = *lane});
    EXPECT_TRUE(plan.has_value()) << plan.error().message();
    return plan ? plan->notices : std::vector<std::string>();
  };
  EXPECT_THAT(notices(open_checkpoint(fixtures::model_data("qwen3-moe"))),
              Contains(HasSubstr("experts in every layer")));
  EXPECT_THAT(notices(open_checkpoint(fixtures::model_data("mixtral"))), testing::IsEmpty());
  // Without the dense layer, only the weights of the experts are another matter there.
  auto edit = fixtures::EditableCheckpoint::read(fixtures::model_data("qwen3-moe"));
  std::erase_if(edit.tensors, [](const auto& tensor) {
    return tensor.plan.name.find("layers.1.") != std::string::npos ||
           tensor.plan.name.find("layers.2.") != std::string::npos;
  });
  edit.config.set("num_hidden_layers", 1);
  edit.config.set("mlp_only_layers", Json::array());
  edit.config.set("norm_topk_prob", false);
  const fixtures::ScratchFolder edited;
  edit.write(edited.path());
  EXPECT_THAT(notices(open_checkpoint(edited.path())), Contains(HasSubstr("sum to 1")));
}

// An unknown model: a block with latent attention, routed experts and a shared one.
class UnknownExperts : public testing::Test {
 protected:
  void add(const std::string& name, std::vector<std::int64_t> shape) {
    std::int64_t values = 1;
    for (const std::int64_t extent : shape) values *= extent;
    model_.tensors.push_back(
        {{.name = name, .type = {.plain = DType::kBF16}, .shape = std::move(shape)},
         std::vector<std::byte>(static_cast<std::size_t>(2 * values), std::byte{0x3C})});
  }
  Result<QuantizeSummary> quantize(const std::string& lane) {
    model_.config = fixtures::read_json(fixtures::model_data("mixtral") / "config.json");
    model_.config.set("architectures", Json::array().push("NovelForCausalLM"));
    fs::create_directories(scratch_.path() / "novel");
    model_.write(scratch_.path() / "novel");
    const auto novel = Checkpoint::open_any(scratch_.path() / "novel");
    EXPECT_TRUE(novel.has_value());
    const auto found = find_lane(lane);
    return run_quantize(
        {.source = **novel, .lane = *found, .out = scratch_.path() / "out", .arch_agnostic = true},
        pool_, no_progress());
  }
  fixtures::EditableCheckpoint model_;
  ThreadPool pool_{1};
  const fixtures::ScratchFolder scratch_;
};

TEST_F(UnknownExperts, RoutersSharedExpertsAndLatentProjectionsStayAsTheyAre) {
  const std::string block = "model.layers.0.";
  const std::vector<std::string> kept = {"mlp.gate", "mlp.shared_expert_gate",
                                         "mlp.shared_expert.up_proj", "self_attn.kv_b_proj",
                                         "mlp.shared_experts.down_proj"};
  const std::vector<std::string> made = {"mlp.experts.0.up_proj", "self_attn.kv_a_proj_with_mqa",
                                         "self_attn.o_proj"};
  for (const auto* names : {&kept, &made}) {
    for (const std::string& name : *names) add(block + name + ".weight", {8, 32});
  }
  const auto done = quantize("fp8");
  ASSERT_TRUE(done.has_value()) << done.error().message();
  const auto out = open_container(scratch_.path() / "out");
  ASSERT_TRUE(out.has_value());
  const auto config = fixtures::read_json(scratch_.path() / "out" / "config.json");
  std::set<std::string> ignored;
  for (const Json& name : config["quantization_config"]["ignore"].items())
    ignored.insert(std::string(name.string()));
  for (const std::string& name : kept) {
    EXPECT_EQ((*out)->find(block + name + ".weight")->type.plain, DType::kBF16) << name;
    EXPECT_THAT(ignored, Contains(block + name));
  }
  for (const std::string& name : made) {
    EXPECT_EQ((*out)->find(block + name + ".weight")->type.plain, DType::kF8E4M3) << name;
    EXPECT_THAT(ignored, testing::Not(Contains(block + name)));
  }
}

// Engines take the routed experts for quantized, whatever the list of plain modules says.
TEST_F(UnknownExperts, ExpertsThatShareATensorAreRefused) {
  add("model.layers.0.self_attn.o_proj.weight", {8, 32});
  add("model.layers.0.mlp.experts.gate_up_proj", {4, 16, 32});
  const auto refused = quantize("fp8");
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().tensor, "model.layers.0.mlp.experts.gate_up_proj");
}

}  // namespace
}  // namespace quantlane
