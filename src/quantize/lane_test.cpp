// Lanes resolve; tensor types are those that llama-quantize assigns.
#include "quantize/lane.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <sstream>

#include "model/checkpoint_fixtures.h"
#include "quantize/algorithms/algorithm.h"

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
    EXPECT_EQ(lane->dialect_name(), lane->is_gguf()           ? "gguf"
                                    : lane->plain.has_value() ? "plain"
                                                              : "compressed-tensors");
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

TEST(Lanes, UnknownNamesListTheKnown) {
  for (const char* name : {"w3a16", "", "gguf:", "gguf:fp8", "q4_k_m"}) {
    const auto lane = find_lane(name);
    ASSERT_FALSE(lane.has_value()) << name;
    EXPECT_EQ(lane.error().code, ErrorCode::kUsage);
    for (const std::string& known : lane_names())
      EXPECT_NE(lane.error().expected.find(known), std::string::npos) << known;
  }
}

TEST(Recipes, MoreBitsFollowsTheFormula) {
  for (std::int64_t n = 1; n < 100; ++n) {
    for (std::int64_t i = 0; i < n; ++i) {
      const bool want = i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
      EXPECT_EQ(takes_more_bits(i, n), want);
    }
  }
  EXPECT_TRUE(takes_more_bits(0, 8));
  EXPECT_FALSE(takes_more_bits(1, 8));
  EXPECT_TRUE(takes_more_bits(3, 8));
}

// ---- against llama-quantize --dry-run --------------------------------------------------------

// "q6_K*2,q4_K*14" over `layers` layers; a single word stands for all.
std::vector<std::string> run_lengths(std::string text, std::int64_t layers) {
  std::ranges::transform(text, text.begin(), [](char c) {
    return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  });
  std::vector<std::string> types;
  std::istringstream stream(text);
  for (std::string run; std::getline(stream, run, ',');) {
    const std::size_t star = run.find('*');
    const auto only = text.find(',') == std::string::npos && star == std::string::npos;
    const std::size_t count = only ? static_cast<std::size_t>(layers)
                              : star == std::string::npos
                                  ? 1
                                  : std::strtoull(run.c_str() + star + 1, nullptr, 10);
    types.insert(types.end(), count, run.substr(0, star));
  }
  return types;
}

ModelConfig config_of(const Json& file) {
  ModelConfig config;
  config.architecture = file["arch"].string();
  config.layer_count = file["L"].integer();
  config.hidden_size = file["H"].integer();
  config.intermediate_size = file["F"].integer();
  config.head_count = file["NH"].integer();
  config.kv_head_count = file["NKV"].integer();
  config.head_dim = file["HD"].integer();
  config.vocab_size = file["V"].integer();
  config.tied_embeddings = file["tied"].boolean();
  config.qk_norm = file["qk_norm"].boolean();
  config.post_norms = file["post_norm"].boolean();
  return config;
}

void expect_types(const GgufRecipe& recipe, const Graph& graph, const Json& types) {
  for (const Parameter& parameter : graph.parameters) {
    std::string notice;
    const ElementType type = recipe.assign(parameter, graph.config, &notice);
    const std::string stored = gguf_name(parameter.role, parameter.layer, graph.config);
    std::string key = stored;
    if (parameter.layer >= 0)
      key = "blk.*" + key.substr(key.find('.', std::string_view("blk.").size()));
    const Json* wanted = types.find(key);
    if (wanted == nullptr) {
      EXPECT_EQ(parameter.rows, 1) << stored << " is missing in the fixture";
      EXPECT_EQ(type.name(), "f32") << stored;
      continue;
    }
    const auto per_layer = run_lengths(std::string(wanted->string()), graph.config.layer_count);
    const auto layer = static_cast<std::size_t>(std::max<std::int64_t>(0, parameter.layer));
    ASSERT_LT(layer, per_layer.size()) << stored;
    EXPECT_EQ(type.name(), per_layer[layer]) << stored;
    const bool fits = type.block == nullptr || parameter.cols % type.block->block_values == 0;
    EXPECT_TRUE(fits) << stored;
  }
}

class RecipesOf : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Dense, RecipesOf,
                         testing::Values("smollm2_135m_tied_576", "llama_1b_tied", "llama_7b_mha",
                                         "llama_8b_gqa8", "llama_70b", "qwen3_0.6b_tied",
                                         "qwen3_8b", "gemma3_4b_tied"),
                         [](const auto& model) {
                           std::string name = model.param;
                           std::erase(name, '.');
                           return name;
                         });

TEST_P(RecipesOf, TypesAreThoseOfLlamaQuantize) {
  std::string name = GetParam();
  std::replace(name.begin(), name.end(), '_', '-');
  const fs::path path = fixtures::shared_data("formats/gguf-quantized/recipes/" + name + ".json");
  if (!fs::exists(path)) GTEST_SKIP() << "no fixtures in " << path;
  const Json file = fixtures::read_json(path);
  const Graph graph = build_graph(config_of(file));
  for (const char* recipe :
       {"Q4_K_M", "Q4_K_S", "Q5_K_M", "Q5_K_S", "Q6_K", "Q8_0", "F16", "BF16"}) {
    std::string lane_name = std::string("gguf:") + recipe;
    std::ranges::transform(lane_name, lane_name.begin(), [](char c) {
      return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    });
    const auto lane = find_lane(lane_name);
    ASSERT_TRUE(lane.has_value()) << lane_name;
    const Json& row = file["recipes"][recipe];
    SCOPED_TRACE(recipe);
    ASSERT_TRUE(row.is_object());
    expect_types(*lane->recipe, graph,
                 row["same_with_imatrix"].boolean() ? row["types"] : row["none"]["types"]);
  }
}

TEST(Recipes, FallbacksAreNoticed) {
  ModelConfig config;
  config.architecture = "llama";
  config.layer_count = 8;
  config.tied_embeddings = true;
  const GgufRecipe recipe = *find_lane("gguf:q4_k_m")->recipe;
  const auto assigned = [&](Role role, std::int64_t layer, std::int64_t cols) {
    std::string notice;
    const auto type = recipe.assign({role, layer, "t", 64, cols}, config, &notice);
    return std::string(type.name()) + (notice.empty() ? "" : " !");
  };
  EXPECT_EQ(assigned(Role::kUp, 1, 256), "q4_k");
  EXPECT_EQ(assigned(Role::kUp, 1, 576), "q5_0 !");
  EXPECT_EQ(assigned(Role::kUp, 1, 80), "f16 !");
  EXPECT_EQ(assigned(Role::kDown, 0, 256), "q6_k");
  EXPECT_EQ(assigned(Role::kDown, 0, 576), "q8_0 !");
  EXPECT_EQ(assigned(Role::kDown, 1, 576), "q5_0 !");
  EXPECT_EQ(assigned(Role::kEmbedding, -1, 512), "q6_k");
  EXPECT_EQ(assigned(Role::kEmbedding, -1, 576), "q8_0");
  EXPECT_EQ(assigned(Role::kFinalNorm, -1, 256), "f32");
  config.tied_embeddings = false;
  EXPECT_EQ(assigned(Role::kEmbedding, -1, 512), "q4_k");
  EXPECT_EQ(assigned(Role::kHead, -1, 512), "q6_k");
}

}  // namespace
}  // namespace quantlane
