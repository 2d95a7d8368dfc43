// What --arch-agnostic leaves as it is, by the names that checkpoints give such parts.
#include "quantize/folder/plain_parts.h"

#include <map>
#include <set>

#include <gmock/gmock.h>

#include "model/checkpoint_fixtures.h"
#include "quantize/lanes/lane.h"
#include "quantize/pipeline.h"

namespace quantlane {
namespace {

using fixtures::ScratchFolder;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

// Of an unknown model with two layers of text, by whether they are quantized unasked.
const std::vector<std::string> kText = {
    "model.language_model.layers.0.mlp.down_proj", "model.layers.1.self_attn.o_proj",
    "model.layers.1.mlp.experts.0.up_proj", "model.encoder.layers.7.fc1"};
const std::vector<std::string> kSenses = {
    "visual.blocks.0.mlp.down_proj",
    "model.visual.merger.linear_fc1",
    "vision_tower.vision_model.encoder.layers.0.self_attn.q_proj",
    "model.vision_tower.transformer.layers.0.attention.k_proj",
    "multi_modal_projector.linear_1",
    "audio_tower.layers.3.fc1"};
const std::vector<std::string> kAhead = {
    "mtp.layers.0.mlp.down_proj",          "mtp.fc",
    "model.mtp.layers.0.self_attn.o_proj", "model.layers.2.eh_proj",
    "model.layers.2.self_attn.o_proj",     "model.layers.2.mlp.experts.0.up_proj",
    "model.layers.2.shared_head.head"};

// Plain whatever the model is: embeddings of patches may be Linears to engines, others do no harm.
const std::vector<std::string> kHigh = {"vision_model.patch_embedding.linear",
                                        "model.visual.patch_embed.proj",
                                        "vision_tower.embeddings.position_embedding",
                                        "transformer.wpe",
                                        "model.layers.0.mlp.gate",
                                        "model.embed_vision.embedding_projection",
                                        "model.layers.0.self_attn.kv_b_proj"};

TEST(PlainParts, NamesOfTextAreNoneOfThem) {
  for (const std::string& name : kText) EXPECT_EQ(plain_part_of(name, 2), std::nullopt) << name;
  for (const std::string& name : kSenses) {
    EXPECT_EQ(plain_part_of(name, 2), "vision and audio towers") << name;
  }
  for (const std::string& name : kAhead) {
    EXPECT_EQ(plain_part_of(name, 2), "layers that predict tokens ahead") << name;
  }
  // How many layers there are is not known.
  EXPECT_EQ(plain_part_of("model.layers.2.self_attn.o_proj", 0), std::nullopt);
}

class UnknownParts : public testing::Test {
 protected:
  void SetUp() override {
    for (const auto* names : {&kText, &kSenses, &kAhead, &kHigh}) {
      for (const std::string& name : *names) {
        model_.tensors.push_back(
            {{.name = name + ".weight", .type = {.plain = DType::kBF16}, .shape = {8, 32}},
             std::vector<std::byte>(512, std::byte{0x3C})});
      }
    }
    model_.config = fixtures::read_json(fixtures::model_data("mixtral") / "config.json");
    model_.config.set("architectures", Json::array().push("NovelForConditionalGeneration"));
  }
  // The types of the codes, by the name of the module.
  std::map<std::string, DType> quantized(const std::vector<std::string>& overrides) {
    fs::create_directories(scratch_.path() / "novel");
    model_.write(scratch_.path() / "novel");
    const auto novel = Checkpoint::open_any(scratch_.path() / "novel");
    auto lane = find_lane("fp8");
    for (const std::string& text : overrides) {
      lane->overrides.push_back(parse_scheme_override(text, *lane).value());
    }
    const fs::path out = scratch_.path() / "out";
    ThreadPool pool(1);
    auto done = run_quantize({.source = **novel, .lane = *lane, .out = out, .arch_agnostic = true},
                             pool, no_progress());
    EXPECT_TRUE(done.has_value()) << done.error().message();
    if (!done) return {};
    notices_ = done->notices;
    ignored_.clear();
    const Json config = fixtures::read_json(out / "config.json");
    for (const Json& name : config["quantization_config"]["ignore"].items())
      ignored_.insert(std::string(name.string()));
    std::map<std::string, DType> types;
    const auto written = open_container(out);
    for (const TensorInfo& tensor : (*written)->tensors()) {
      if (tensor.name.ends_with(".weight")) types[module_of(tensor.name)] = tensor.type.plain;
    }
    return types;
  }

  fixtures::EditableCheckpoint model_;
  const ScratchFolder scratch_;
  std::vector<std::string> notices_;
  std::set<std::string> ignored_;
};

TEST_F(UnknownParts, StayAsTheyAreAndTheNoticesSaySo) {
  model_.config.set("num_hidden_layers", 2);
  const auto types = quantized({});
  for (const std::string& name : kText) EXPECT_EQ(types.at(name), DType::kF8E4M3) << name;
  for (const auto* names : {&kSenses, &kAhead, &kHigh}) {
    for (const std::string& name : *names) {
      EXPECT_EQ(types.at(name), DType::kBF16) << name;
      EXPECT_THAT(ignored_, Contains(name));
    }
  }
  EXPECT_THAT(notices_,
              ElementsAre(HasSubstr("6 matrices of vision and audio towers stay as they are"),
                          HasSubstr("7 matrices of layers that predict tokens ahead")));
  EXPECT_THAT(notices_[0], HasSubstr("visual.blocks.0.mlp.down_proj"));
  EXPECT_THAT(notices_[0], HasSubstr("--tensor-type"));
}

// "down_proj" means the text; "visual" can mean nothing else.
TEST_F(UnknownParts, AreQuantizedByPatternsThatFindThemAlone) {
  model_.config.set("num_hidden_layers", 2);
  auto types = quantized({"visual=fp8", R"(layers\.2\..*o_proj=fp8)"});
  EXPECT_EQ(types.at("visual.blocks.0.mlp.down_proj"), DType::kF8E4M3);
  EXPECT_EQ(types.at("model.visual.merger.linear_fc1"), DType::kF8E4M3);
  EXPECT_EQ(types.at("model.layers.2.self_attn.o_proj"), DType::kF8E4M3);
  EXPECT_EQ(types.at("model.layers.2.eh_proj"), DType::kBF16);
  EXPECT_EQ(types.at("audio_tower.layers.3.fc1"), DType::kBF16);
  EXPECT_THAT(ignored_, Not(Contains("visual.blocks.0.mlp.down_proj")));
  types = quantized({"down_proj=fp8"});
  EXPECT_EQ(types.at("visual.blocks.0.mlp.down_proj"), DType::kBF16);
  EXPECT_EQ(types.at("mtp.layers.0.mlp.down_proj"), DType::kBF16);
}

// The number of layers may stand with the text model.
TEST_F(UnknownParts, CountTheLayersOfANestedTextModel) {
  model_.config.erase("num_hidden_layers");
  model_.config.set("text_config", Json::object({{"num_hidden_layers", 3}}));
  const auto types = quantized({});
  EXPECT_EQ(types.at("model.layers.2.self_attn.o_proj"), DType::kF8E4M3);
  EXPECT_EQ(types.at("model.layers.2.eh_proj"), DType::kBF16);
}

// Another dialect has one scheme for all, so that no pattern is offered.
TEST_F(UnknownParts, AreOfferedNoPatternWhereTheDialectHasOneScheme) {
  fs::create_directories(scratch_.path() / "novel");
  model_.write(scratch_.path() / "novel");
  const auto novel = Checkpoint::open_any(scratch_.path() / "novel");
  const auto lane = find_lane("gptq-int8-channel+rtn");
  ASSERT_TRUE(lane.has_value()) << lane.error().message();
  const auto plan = plan_folder(
      {.source = **novel, .lane = *lane, .out = scratch_.path() / "out", .arch_agnostic = true});
  ASSERT_TRUE(plan.has_value()) << plan.error().message();
  ASSERT_THAT(plan->notices, Not(IsEmpty()));
  for (const std::string& notice : plan->notices) EXPECT_THAT(notice, Not(HasSubstr("PATTERN")));
}

}  // namespace
}  // namespace quantlane
