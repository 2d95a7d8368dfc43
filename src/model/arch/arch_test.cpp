#include <gmock/gmock.h>

#include "model/checkpoint_fixtures.h"
#include "model/graph.h"

namespace quantlane {
namespace {

using ::testing::HasSubstr;

ModelConfig config_of(const Json& json) {
  const Architecture* row = architecture_by_class(json["architectures"].items().at(0).string());
  EXPECT_NE(row, nullptr);
  const auto config = row->from_hugging_face(json, "config.json");
  EXPECT_TRUE(config.has_value()) << config.error().message();
  return config.value_or(ModelConfig{});
}

TEST(Architectures, AreFoundByEveryName) {
  EXPECT_EQ(supported_architectures(), "llama, mistral, qwen2, qwen3, gemma3, mixtral, qwen3_moe");
  for (const Architecture* row : architectures()) {
    EXPECT_EQ(architecture_by_name(row->name), row);
    for (const auto name : row->classes()) EXPECT_EQ(architecture_by_class(name), row);
  }
  EXPECT_EQ(architecture_by_class("GPT2LMHeadModel"), nullptr);
  Metadata metadata;
  EXPECT_EQ(architecture_of_gguf(metadata), nullptr);
  metadata.set("general.architecture", std::string("rwkv"));
  EXPECT_EQ(architecture_of_gguf(metadata), nullptr);
  metadata.set("general.architecture", std::string("llama"));
  EXPECT_EQ(architecture_of_gguf(metadata)->name, "llama");
  metadata.set("llama.expert_count", std::uint32_t{0});
  EXPECT_EQ(architecture_of_gguf(metadata)->name, "llama");
  metadata.set("llama.expert_count", std::uint32_t{8});
  EXPECT_EQ(architecture_of_gguf(metadata)->name, "mixtral");
}

TEST(Architectures, BothSpellingsOfConfigJsonMeanTheSame) {
  for (const char* family : fixtures::kFamilies) {
    const auto folder = fixtures::model_data(family);
    EXPECT_EQ(config_of(fixtures::read_json(folder / "config.json")),
              config_of(fixtures::read_json(folder / "config.v4.json")))
        << family;
  }
}

TEST(Architectures, WrittenConfigJsonReadsBackTheSame) {
  for (const char* family : fixtures::kFamilies) {
    const ModelConfig config =
        config_of(fixtures::read_json(fixtures::model_data(family) / "config.json"));
    const Json written = architecture_by_name(config.architecture)->to_hugging_face(config);
    ModelConfig read = config_of(written);
    EXPECT_NEAR(read.attention_scale, config.attention_scale, 1e-12);
    read.attention_scale = config.attention_scale;
    EXPECT_EQ(read, config) << family << written.dump();
  }
}

TEST(Architectures, GgufKeysReadBackTheSame) {
  for (const char* family : fixtures::kFamilies) {
    ModelConfig config =
        config_of(fixtures::read_json(fixtures::model_data(family) / "config.json"));
    const Architecture* row = architecture_by_name(config.architecture);
    Metadata metadata;
    row->to_gguf(config, metadata);
    EXPECT_EQ(*metadata.string("general.architecture"), row->gguf_name);
    auto read = row->from_gguf(metadata, "x.gguf");
    ASSERT_TRUE(read.has_value()) << read.error().message();
    // Float32 in GGUF.
    EXPECT_NEAR(read->rms_norm_eps, config.rms_norm_eps, 1e-6 * config.rms_norm_eps);
    EXPECT_NEAR(read->attention_scale, config.attention_scale, 1e-6);
    read->rms_norm_eps = config.rms_norm_eps;
    read->attention_scale = config.attention_scale;
    // Found by the tensors, not by keys; Mistral's window has no key.
    read->tied_embeddings = config.tied_embeddings;
    read->attention_bias = config.attention_bias;
    read->attention_output_bias = config.attention_output_bias;
    if (config.rope_scaling.kind == RopeScaling::Kind::kLlama3) {
      read->rope_scaling = config.rope_scaling;
    }
    read->experts.dense_layers = config.experts.dense_layers;
    if (config.architecture == "mistral") read->window_of_layer = config.window_of_layer;
    EXPECT_EQ(*read, config) << family;
  }
}

TEST(Architectures, FamilyTraitsAreRead) {
  const auto read = [](const char* family) {
    return config_of(fixtures::read_json(fixtures::model_data(family) / "config.json"));
  };
  EXPECT_EQ(read("llama").rope_scaling.kind, RopeScaling::Kind::kLlama3);
  EXPECT_EQ(read("llama").rope_scaling.original_context, 64);
  EXPECT_TRUE(read("llama-bias").attention_output_bias);
  EXPECT_TRUE(read("llama-bias").tied_embeddings);
  EXPECT_EQ(read("mistral").window_of_layer, (std::vector<std::int64_t>{9, 9}));
  EXPECT_TRUE(read("qwen2").attention_bias);
  EXPECT_FALSE(read("qwen2").attention_output_bias);
  EXPECT_TRUE(read("qwen3").qk_norm);
  EXPECT_EQ(read("qwen3").head_dim, 16);
  EXPECT_EQ(read("gemma3").window_of_layer, (std::vector<std::int64_t>{9, 9, 9, 9, 9, 0, 9}));
  EXPECT_EQ(read("gemma3").rope_theta_local, 10000);
  EXPECT_EQ(read("gemma3").rope_theta, 1000000);
  EXPECT_EQ(read("gemma3").rope_scaling.factor, 8);
  EXPECT_EQ(read("mixtral").experts.count, 5);
  EXPECT_EQ(read("mixtral").experts.per_token, 2);
  EXPECT_EQ(read("mixtral").experts.intermediate_size, 40);
  EXPECT_TRUE(read("mixtral").experts.normalised);
  EXPECT_EQ(read("qwen3-moe").experts.intermediate_size, 36);
  EXPECT_TRUE(read("qwen3-moe").experts.normalised);
  EXPECT_EQ(read("qwen3-moe").experts.dense_layers, (std::vector<std::int64_t>{1}));
  EXPECT_FALSE(read("qwen3-moe-step").experts.normalised);
  EXPECT_EQ(read("qwen3-moe-step").experts.dense_layers, (std::vector<std::int64_t>{0}));
}

// What google/gemma-3-4b-it publishes: most keys are the class's defaults.
TEST(Architectures, ReadsTheDecoderOfAMultimodalGemma) {
  const auto json = Json::parse(R"({"architectures": ["Gemma3ForConditionalGeneration"],
      "model_type": "gemma3", "text_config": {"hidden_size": 2560, "intermediate_size": 10240,
      "model_type": "gemma3_text", "num_hidden_layers": 34, "sliding_window": 1024,
      "rope_scaling": {"factor": 8.0, "rope_type": "linear"}}})",
                                "test");
  const ModelConfig config = config_of(*json);
  EXPECT_EQ(config.vocab_size, 262208);
  EXPECT_EQ(config.head_count, 8);
  EXPECT_EQ(config.kv_head_count, 4);
  EXPECT_EQ(config.head_dim, 256);
  EXPECT_EQ(config.window(4), 1024);
  EXPECT_EQ(config.window(5), 0);
  EXPECT_TRUE(config.tied_embeddings);
  EXPECT_EQ(config.attention_scale, 1.0 / 16);
  EXPECT_EQ(config.rope_scaling.kind, RopeScaling::Kind::kLinear);
}

struct Lie {
  const char* key;
  const char* value;
  const char* message;
};

TEST(Architectures, RefuseConfigurationsThatCannotBe) {
  constexpr Lie kLies[] = {
      {"hidden_size", "0", "hidden_size"},
      {"hidden_size", "-64", "hidden_size"},
      {"hidden_size", "1e18", "hidden_size"},
      {"hidden_size", "\"64\"", "hidden_size"},
      {"vocab_size", "99999999999", "vocab_size"},
      {"num_hidden_layers", "1000000000", "num_hidden_layers"},
      {"num_hidden_layers", "null", "no such key"},
      {"num_attention_heads", "4097", "num_attention_heads"},
      {"num_key_value_heads", "3", "key-value heads divide"},
      {"num_key_value_heads", "8", "num_key_value_heads"},
      {"head_dim", "15", "even head size"},
      {"head_dim", "1000000", "head_dim"},
      {"rms_norm_eps", "2", "rms_norm_eps"},
      {"rope_parameters", R"({"rope_type": "yarn", "factor": 2})", "rope_parameters.rope_type"},
      {"rope_parameters", R"({"rope_type": "llama3", "factor": 8})", "low_freq_factor"},
      {"rope_parameters", R"({"rope_theta": 0})", "rope_parameters.rope_theta"},
      {"hidden_act", "\"gelu\"", "hidden_act"},
      {"mlp_bias", "true", "mlp_bias"},
      {"partial_rotary_factor", "0.5", "partial_rotary_factor"},
      {"attention_bias", "1", "attention_bias"},
  };
  const Json good = fixtures::read_json(fixtures::model_data("llama") / "config.json");
  for (const Lie& lie : kLies) {
    Json json = good;
    const Json value = *Json::parse(lie.value, "test");
    json.set(lie.key, value);
    if (value.is_null()) json.erase(lie.key);
    const auto config = architecture_by_name("llama")->from_hugging_face(json, "the/config.json");
    ASSERT_FALSE(config.has_value()) << lie.key << " " << lie.value;
    EXPECT_THAT(config.error().message(), HasSubstr(lie.message));
    EXPECT_THAT(config.error().message(), HasSubstr("the/config.json"));
  }
}

TEST(Architectures, RefuseExpertsThatCannotBe) {
  const std::pair<const char*, Lie> kLies[] = {
      {"mixtral", {"num_local_experts", "0", "num_local_experts"}},
      {"mixtral", {"num_local_experts", "1e12", "num_local_experts"}},
      {"mixtral", {"num_experts_per_tok", "6", "num_experts_per_tok"}},
      {"mixtral", {"num_hidden_layers", "1000", ""}},
      {"qwen3-moe", {"moe_intermediate_size", "0", "moe_intermediate_size"}},
      {"qwen3-moe", {"decoder_sparse_step", "0", "decoder_sparse_step"}},
      {"qwen3-moe", {"mlp_only_layers", "[3]", "mlp_only_layers"}},
      {"qwen3-moe", {"mlp_only_layers", "[\"0\"]", "mlp_only_layers"}},
      {"qwen3-moe", {"mlp_only_layers", "1", "mlp_only_layers"}},
      {"qwen3-moe", {"norm_topk_prob", "1", "norm_topk_prob"}},
  };
  for (const auto& [family, lie] : kLies) {
    Json json = fixtures::read_json(fixtures::model_data(family) / "config.json");
    json.set(lie.key, *Json::parse(lie.value, "test"));
    if (std::string(lie.key) == "num_hidden_layers") json.set("num_local_experts", 4096);
    const Architecture* row = architecture_by_class(json["architectures"].items()[0].string());
    const auto config = row->from_hugging_face(json, "the/config.json");
    ASSERT_FALSE(config.has_value()) << lie.key << " " << lie.value;
    EXPECT_THAT(config.error().message(), HasSubstr(lie.message));
    EXPECT_THAT(config.error().message(), HasSubstr("the/config.json"));
  }
}

TEST(Architectures, RefuseLayerTypesOfAnotherLengthOrKind) {
  const Json good = fixtures::read_json(fixtures::model_data("gemma3") / "config.json");
  for (const char* types : {"[\"full_attention\"]", "\"full_attention\"",
                            R"(["linear_attention","full_attention","full_attention",
                                "full_attention","full_attention","full_attention",
                                "full_attention"])"}) {
    Json json = good;
    json.set("layer_types", *Json::parse(types, "test"));
    EXPECT_FALSE(architecture_by_name("gemma3")->from_hugging_face(json, "c").has_value()) << types;
  }
}

TEST(Architectures, RefuseGgufKeysThatCannotBe) {
  const ModelConfig config =
      config_of(fixtures::read_json(fixtures::model_data("llama") / "config.json"));
  const Architecture* row = architecture_by_name("llama");
  const std::pair<const char*, MetadataValue> lies[] = {
      {"llama.block_count", std::uint32_t{0}},
      {"llama.block_count", std::string("2")},
      {"llama.embedding_length", std::uint64_t{1} << 63},
      {"llama.attention.head_count", std::vector<std::int32_t>{4, 4}},
      {"llama.attention.head_count_kv", std::uint32_t{3}},
      {"llama.rope.dimension_count", std::uint32_t{4}},
      {"llama.rope.scaling.type", std::string("yarn")},
      {"llama.expert_count", std::uint32_t{8}},
      {"llama.attention.layer_norm_rms_epsilon", -1.0F},
  };
  for (const auto& [key, value] : lies) {
    Metadata metadata;
    row->to_gguf(config, metadata);
    ASSERT_TRUE(row->from_gguf(metadata, "x.gguf").has_value());
    metadata.set(key, value);
    const auto read = row->from_gguf(metadata, "x.gguf");
    ASSERT_FALSE(read.has_value()) << key;
    EXPECT_THAT(read.error().message(), HasSubstr("x.gguf"));
  }
}

}  // namespace
}  // namespace quantlane
