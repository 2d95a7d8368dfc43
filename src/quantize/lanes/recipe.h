// GGUF file types: which element type each tensor of a model gets. The rows are data
// (data/recipes/gguf.json); their facts are llama.cpp's (src/llama-quant.cpp).
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "containers/container.h"
#include "quantlane/result.h"

namespace quantlane {

// A tensor as GGUF names it, weights and all else, in the order of layers.
struct RecipeTensor {
  std::string name;                 // "blk.0.attn_v.weight"
  std::int64_t layer = -1;          // -1 outside the blocks
  std::vector<std::int64_t> shape;  // outermost first; [E, N, K] for stacked experts
};

// What rules ask about the model.
struct RecipeModel {
  std::string architecture;  // general.architecture
  std::int64_t layers = 0;
  std::int64_t heads = 1;
  std::int64_t kv_heads = 1;
  std::int64_t experts = 0;
};

// One step of a recipe: where all conditions hold, the type becomes `type`. Later rules win.
struct RecipeRule {
  std::string of;  // kind of tensor ("attn_v", "ffn_down", …), "*" = every kind but the output
  ElementType type;
  // Conditions; the defaults always hold. `layers`: i of n tensors or layers; nullptr = all.
  bool (*layers)(std::int64_t i, std::int64_t n) = nullptr;
  std::int64_t first = 0;          // the first so many tensors of the kind; 0 = all
  std::int64_t min_gqa = 0;        // query heads per key and value head
  std::int64_t experts = 0;        // exactly so many; 0 = any
  std::int64_t min_experts = 0;    // at least
  std::optional<bool> importance;  // with or without an importance matrix
  bool stacked = false;            // only tensors that hold several experts
  std::string model;               // a row of "models": "70b"
  std::vector<ElementType> from;   // the type so far is one of these; empty = any
};

struct GgufRecipe {
  std::string name;       // "q4_k_m"
  int file_type = 0;      // general.file_type (include/llama.h, enum llama_ftype)
  std::string algorithm;  // row of algorithms()
  ElementType base;
  ElementType output;  // head, or the embedding when tied
  std::vector<RecipeRule> rules;
  // Types that this file type is not made in without an importance matrix.
  std::vector<ElementType> needs_importance;
};

// kNotFound for an unknown name or alias; kUnsupported where this version does not know a type of
// the recipe.
Result<GgufRecipe> find_recipe(std::string_view name);
// Without aliases, from many bits to few.
std::vector<std::string> recipe_names();

// Some block formats can only be read.
[[nodiscard]] bool can_write(const ElementType& type);
// "q8_0", "bf16": a type that a tensor can be written in; kInvalidArgument lists the known ones.
Result<ElementType> writable_type(std::string_view name);

// What the user wants otherwise.
struct TypeOverride {
  std::string pattern;  // PCRE2 pattern, found anywhere in a tensor's name
  ElementType type;
};
struct RecipeRequest {
  bool importance = false;               // an importance matrix is used
  bool pure = false;                     // every matrix gets the base type
  std::optional<ElementType> output;     // head, or tied embedding
  std::optional<ElementType> embedding;  // wins over `output` where tied
  std::vector<TypeOverride> overrides;   // the first that matches wins
};

// The decision for one tensor.
struct TypeChoice {
  ElementType type;
  ElementType wanted;             // differs from `type` where the width does not fit its blocks
  bool needs_importance = false;  // llama.cpp refuses to write `type` here without a matrix
  bool kept = false;              // never quantized: norms, biases, routers
};

// One choice for each tensor, in order. kInvalidArgument for an override that is no regular
// expression or that decides nothing; kUnsupported where a width fits no type.
Result<std::vector<TypeChoice>> assign_types(const GgufRecipe& recipe, const RecipeModel& model,
                                             std::span<const RecipeTensor> tensors,
                                             const RecipeRequest& request);

// llama.cpp's rule for "more bits": tensors of the first and last eighth and every third between
// (integer division): i < n/8, i >= 7n/8, (i - n/8) mod 3 = 2.
[[nodiscard]] bool takes_more_bits(std::int64_t index, std::int64_t count);

}  // namespace quantlane
