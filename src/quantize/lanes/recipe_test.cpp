// Tensor types are those that llama-quantize assigns.
#include "quantize/lanes/recipe.h"

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <sstream>

#include <gmock/gmock.h>

#include "model/checkpoint_fixtures.h"

namespace quantlane {
namespace {

using testing::HasSubstr;

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](char c) {
    return static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  });
  return text;
}

// "q6_K*2,q4_K*14" over `layers` layers; a single word stands for all.
std::vector<std::string> run_lengths(const std::string& text, std::int64_t layers) {
  std::vector<std::string> types;
  std::istringstream stream(lower(text));
  for (std::string run; std::getline(stream, run, ',');) {
    const std::size_t star = run.find('*');
    const bool only = text.find_first_of(",*") == std::string::npos;
    const std::size_t count = only ? static_cast<std::size_t>(layers)
                              : star == std::string::npos
                                  ? 1
                                  : std::strtoull(run.c_str() + star + 1, nullptr, 10);
    types.insert(types.end(), count, run.substr(0, star));
  }
  return types;
}

// A model of the fixtures: facts, tensors in the order of layers, and per file type what
// llama-quantize gives them.
struct GoldenModel {
  explicit GoldenModel(const Json& file) : json(file) {
    model = {.architecture = std::string(file["arch"].string()),
             .layers = file["L"].integer(),
             .heads = file["NH"].integer(),
             .kv_heads = file["NKV"].integer(),
             .experts = file["experts"].integer()};
    for (std::int64_t layer = -1; layer < model.layers; ++layer) {
      for (const auto& [name, extents] : file["shapes_ne"].members()) {
        const bool in_block = name.starts_with("blk.*");
        if (in_block != (layer >= 0)) continue;
        RecipeTensor tensor{.name = name, .layer = layer, .shape = {}};
        if (in_block) tensor.name.replace(4, 1, std::to_string(layer));
        for (const Json& extent : extents.items()) tensor.shape.push_back(extent.integer());
        std::ranges::reverse(tensor.shape);
        tensors.push_back(std::move(tensor));
        keys.push_back(name);
      }
    }
  }

  // Types by tensor, empty for those that the fixture leaves out.
  [[nodiscard]] std::vector<std::string> types(const Json& recipe) const {
    std::vector<std::string> types;
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      const Json* type = recipe["types"].find(keys[i]);
      const auto layer = static_cast<std::size_t>(std::max<std::int64_t>(0, tensors[i].layer));
      types.push_back(
          type == nullptr ? "" : run_lengths(std::string(type->string()), model.layers).at(layer));
    }
    return types;
  }

  Json json;
  RecipeModel model;
  std::vector<RecipeTensor> tensors;
  std::vector<std::string> keys;
};

const std::vector<GoldenModel>& golden_models() {
  static const std::vector<GoldenModel> models = [] {
    std::vector<GoldenModel> read;
    const fixtures::ScratchFolder scratch;
    const fs::path packed = QUANTLANE_SOURCE_DIR "/tests/data/recipes/llama-quantize.json.xz";
    if (!fixtures::unpack_xz(packed, scratch.path() / "golden.json")) return read;
    const Json files = fixtures::read_json(scratch.path() / "golden.json");
    for (const Json& file : files.items()) read.emplace_back(file);
    return read;
  }();
  return models;
}

const GoldenModel& golden_model(const std::string& name) {
  for (const GoldenModel& golden : golden_models()) {
    if (golden.json["model"].string() == name) return golden;
  }
  ADD_FAILURE() << "no model " << name;
  return golden_models().front();
}

class RecipesOf : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Models, RecipesOf,
                         testing::Values("smollm2-135m-tied-576", "llama-1b-tied", "llama-7b-mha",
                                         "llama-8b-gqa8", "llama-70b", "mixtral-8x7b",
                                         "qwen3-0.6b-tied", "qwen3-8b", "qwen3moe-30b-a3b",
                                         "gemma3-4b-tied", "phi3-mini-fused-qkv"),
                         [](const auto& model) {
                           std::string name = model.param;
                           std::erase(name, '.');
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

void expect_golden(const GoldenModel& golden, const GgufRecipe& recipe, const Json& row,
                   bool importance) {
  RecipeRequest request;
  request.importance = importance;
  const auto choices = assign_types(recipe, golden.model, golden.tensors, request);
  ASSERT_TRUE(choices.has_value()) << choices.error().message();
  const auto wanted = golden.types(row);
  double bytes = 0;
  bool needs = false;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const TypeChoice& choice = (*choices)[i];
    const RecipeTensor& tensor = golden.tensors[i];
    EXPECT_EQ(choice.type.name(), wanted[i].empty() ? "f32" : wanted[i]) << tensor.name;
    if (recipe.name != "f32") {
      EXPECT_EQ(choice.kept, wanted[i].empty() || wanted[i] == "f32") << tensor.name;
    }
    const PlannedTensor planned{.name = tensor.name, .type = choice.type, .shape = tensor.shape};
    bytes += static_cast<double>(planned.size_bytes());
    needs = needs || choice.needs_importance;
  }
  EXPECT_NEAR(bytes / (1 << 20), row["quant_size_MiB"].number(), 0.006);
  if (!importance) {
    EXPECT_EQ(needs, row["requires_imatrix"].boolean());
  }
}

TEST_P(RecipesOf, TypesAndSizesAreThoseOfLlamaQuantize) {
  if (golden_models().empty()) GTEST_SKIP() << "no xz program";
  const GoldenModel& golden = golden_model(GetParam());
  std::size_t compared = 0;
  for (const auto& [file_type, row] : golden.json["recipes"].members()) {
    const auto recipe = find_recipe(lower(file_type));
    ASSERT_TRUE(recipe.has_value()) << recipe.error().message();
    for (const bool importance : {false, true}) {
      SCOPED_TRACE(file_type + (importance ? " with imatrix" : ""));
      const bool same = row["same_with_imatrix"].boolean();
      expect_golden(golden, *recipe, same ? row : row[importance ? "imatrix" : "none"], importance);
    }
    ++compared;
  }
  EXPECT_GE(compared, 34U);  // q1_0 has no answer to widths that 128 does not divide
}

TEST(Recipes, EveryFileTypeOfLlamaQuantizeIsThere) {
  if (golden_models().empty()) GTEST_SKIP() << "no xz program";
  const auto names = recipe_names();
  EXPECT_EQ(names.size(), 35U);
  for (const auto& [file_type, row] : golden_model("llama-8b-gqa8").json["recipes"].members()) {
    EXPECT_NE(std::ranges::find(names, lower(file_type)), names.end()) << file_type;
  }
  // include/llama.h, enum llama_ftype
  for (const auto& [name, number] :
       {std::pair{"q4_0", 2}, std::pair{"q8_0", 7}, std::pair{"q2_k", 10}, std::pair{"q3_k_l", 13},
        std::pair{"q4_k_m", 15}, std::pair{"q2_k_s", 21}, std::pair{"iq4_nl", 25},
        std::pair{"iq4_xs", 30}, std::pair{"bf16", 32}, std::pair{"tq2_0", 37},
        std::pair{"mxfp4_moe", 38}, std::pair{"q1_0", 40}, std::pair{"q2_0", 41}}) {
    const auto recipe = find_recipe(name);
    ASSERT_TRUE(recipe.has_value()) << recipe.error().message();
    EXPECT_EQ(recipe->file_type, number) << name;
  }
  for (const auto& [alias, name] :
       {std::pair{"q3_k", "q3_k_m"}, std::pair{"q4_k", "q4_k_m"}, std::pair{"q5_k", "q5_k_m"}}) {
    EXPECT_EQ(find_recipe(alias)->name, name);
  }
  EXPECT_EQ(find_recipe("q9_k").error().code, ErrorCode::kNotFound);
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

// ---- widths, requests ------------------------------------------------------------------------

struct Tensors {
  std::vector<RecipeTensor> tensors;
  RecipeModel model = {.architecture = "llama", .layers = 8, .heads = 8, .kv_heads = 8};

  // Eight layers of attn_v, ffn_up and ffn_down of that width, embedding, norms, head.
  explicit Tensors(std::int64_t cols, bool tied = false) {
    tensors.push_back({.name = "token_embd.weight", .shape = {64, cols}});
    for (std::int64_t layer = 0; layer < 8; ++layer) {
      const std::string block = "blk." + std::to_string(layer) + ".";
      tensors.push_back({.name = block + "attn_norm.weight", .layer = layer, .shape = {cols}});
      for (const char* kind : {"attn_v", "ffn_up", "ffn_down"}) {
        tensors.push_back({.name = block + kind + ".weight", .layer = layer, .shape = {64, cols}});
      }
    }
    if (!tied) tensors.push_back({.name = "output.weight", .shape = {64, cols}});
  }

  [[nodiscard]] Result<std::vector<TypeChoice>> assign(const std::string& recipe,
                                                       const RecipeRequest& request) const {
    return assign_types(*find_recipe(recipe), model, tensors, request);
  }
  // The type of the tensor, with what it fell back from.
  [[nodiscard]] std::string type(const std::string& recipe, const std::string& name,
                                 const RecipeRequest& request = {}) const {
    const auto choices = assign(recipe, request);
    if (!choices) return choices.error().message();
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      if (tensors[i].name != name) continue;
      const TypeChoice& choice = (*choices)[i];
      return (choice.type == choice.wanted ? "" : std::string(choice.wanted.name()) + " -> ") +
             std::string(choice.type.name());
    }
    return "no such tensor";
  }
};

RecipeRequest overriding(std::initializer_list<std::pair<const char*, const char*>> rows) {
  RecipeRequest request;
  for (const auto& [pattern, type] : rows) {
    request.overrides.push_back({.pattern = pattern, .type = *writable_type(type)});
  }
  return request;
}

TEST(Recipes, WidthsFallBackAsInLlamaCpp) {
  EXPECT_EQ(Tensors(256).type("q4_k_m", "blk.1.ffn_up.weight"), "q4_k");
  EXPECT_EQ(Tensors(576).type("q4_k_m", "blk.1.ffn_up.weight"), "q4_k -> q5_0");
  EXPECT_EQ(Tensors(80).type("q4_k_m", "blk.1.ffn_up.weight"), "q4_k -> f16");
  EXPECT_EQ(Tensors(576).type("q4_k_m", "blk.0.ffn_down.weight"), "q6_k -> q8_0");
  EXPECT_EQ(Tensors(576).type("q3_k_l", "blk.0.ffn_down.weight"), "q5_k -> q5_1");
  EXPECT_EQ(Tensors(576).type("tq1_0", "blk.0.ffn_up.weight"), "tq1_0 -> q4_0");
  EXPECT_EQ(Tensors(80).type("q8_0", "blk.0.ffn_up.weight"), "q8_0 -> f16");
  EXPECT_EQ(Tensors(512).type("q4_k_m", "output.weight"), "q6_k");
  EXPECT_EQ(Tensors(576).type("q4_k_m", "output.weight"), "q8_0");
  EXPECT_EQ(Tensors(512).type("q4_k_m", "token_embd.weight"), "q4_k");
  EXPECT_EQ(Tensors(512, true).type("q4_k_m", "token_embd.weight"), "q6_k");
  EXPECT_EQ(Tensors(576, true).type("q4_k_m", "token_embd.weight"), "q8_0");
  EXPECT_EQ(Tensors(80).type("f16", "blk.1.ffn_up.weight"), "f16");
  // llama-quantize stops here, too.
  const auto choices = Tensors(192).assign("q1_0", {});
  ASSERT_FALSE(choices.has_value());
  EXPECT_EQ(choices.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(choices.error().message(), HasSubstr("192 columns"));
}

TEST(Recipes, TheFirstOverrideWins) {
  const Tensors small(256);
  const auto request = overriding({{"blk\\.[01]\\.ffn", "q8_0"}, {"ffn_up", "f16"}});
  EXPECT_EQ(small.type("q4_k_m", "blk.0.ffn_up.weight", request), "q8_0");
  EXPECT_EQ(small.type("q4_k_m", "blk.1.ffn_down.weight", request), "q8_0");
  EXPECT_EQ(small.type("q4_k_m", "blk.2.ffn_up.weight", request), "f16");
  EXPECT_EQ(small.type("q4_k_m", "blk.2.attn_v.weight", request), "q4_k");
  EXPECT_EQ(Tensors(576).type("q4_k_m", "blk.2.attn_v.weight", overriding({{"attn_v", "q6_k"}})),
            "q6_k -> q8_0");
  // Unlike in llama.cpp, also where the file type itself is a plain float.
  EXPECT_EQ(small.type("bf16", "blk.2.attn_v.weight", overriding({{"attn_v", "q8_0"}})), "q8_0");
}

// llama.cpp counts attn_v and ffn_down as it decides them.
TEST(Recipes, OverriddenTensorsAreNotCounted) {
  const Tensors small(256);
  EXPECT_EQ(small.type("q4_k_s", "blk.4.attn_v.weight"), "q4_k");
  const auto request = overriding({{"blk\\.0\\.attn_v", "q8_0"}});
  EXPECT_EQ(small.type("q4_k_s", "blk.0.attn_v.weight", request), "q8_0");
  EXPECT_EQ(small.type("q4_k_s", "blk.4.attn_v.weight", request), "q5_k");
  EXPECT_EQ(small.type("q4_k_s", "blk.5.attn_v.weight", request), "q4_k");
}

TEST(Recipes, OutputAndEmbeddingHaveOptionsOfTheirOwn) {
  RecipeRequest request;
  request.output = *writable_type("q5_0");
  EXPECT_EQ(Tensors(256).type("q4_k_m", "output.weight", request), "q5_0");
  EXPECT_EQ(Tensors(256).type("q4_k_m", "token_embd.weight", request), "q4_k");
  EXPECT_EQ(Tensors(256, true).type("q4_k_m", "token_embd.weight", request), "q5_0");
  request.pure = true;
  EXPECT_EQ(Tensors(256).type("q4_k_m", "output.weight", request), "q5_0");
  EXPECT_EQ(Tensors(256).type("q4_k_m", "blk.0.attn_v.weight", request), "q4_k");
  request.output.reset();
  EXPECT_EQ(Tensors(256).type("q4_k_m", "output.weight", request), "q4_k");
  request.embedding = *writable_type("q8_0");
  EXPECT_EQ(Tensors(256).type("q4_k_m", "token_embd.weight", request), "q8_0");
}

TEST(Recipes, RequestsWithoutEffectAreErrors) {
  const Tensors small(256);
  const auto refused = [&](const RecipeRequest& request, bool tied = false) {
    const auto choices = Tensors(256, tied).assign("q4_k_m", request);
    return choices ? "accepted" : choices.error().message();
  };
  EXPECT_THAT(refused(overriding({{"attn_w", "q8_0"}})), HasSubstr("no tensor of this name"));
  EXPECT_THAT(refused(overriding({{"attn_norm", "q8_0"}})), HasSubstr("never quantized"));
  EXPECT_THAT(refused(overriding({{"ffn", "q8_0"}, {"ffn_up", "q6_k"}})),
              HasSubstr("an earlier option"));
  EXPECT_THAT(refused(overriding({{"ffn_(up", "q8_0"}})), HasSubstr("\"ffn_(up\""));
  EXPECT_THAT(refused(overriding({{"ffn_up", "q8_0"}})), HasSubstr("accepted"));
  RecipeRequest both;
  both.output = both.embedding = *writable_type("q8_0");
  EXPECT_EQ(refused(both), "accepted");
  EXPECT_THAT(refused(both, true), HasSubstr("--output-type"));
  auto shadowed = overriding({{"token_embd", "q8_0"}});
  shadowed.embedding = *writable_type("q6_k");
  EXPECT_THAT(refused(shadowed), HasSubstr("an earlier option"));
}

TEST(Recipes, TypesByNameListTheKnown) {
  EXPECT_EQ(writable_type("bf16")->plain, DType::kBF16);
  EXPECT_EQ(writable_type("q4_k")->name(), "q4_k");
  for (const char* name : {"q4_k_m", "i32", "f64", ""}) {
    const auto type = writable_type(name);
    ASSERT_FALSE(type.has_value()) << name;
    EXPECT_THAT(type.error().expected, HasSubstr("q8_0")) << name;
  }
}

}  // namespace
}  // namespace quantlane
