// data/recipes/gguf.json as it was read: what recipe_book.cpp fills and recipe.cpp applies.
#pragma once
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/json.h"
#include "core/regex.h"
#include "quantize/lanes/recipe.h"

namespace quantlane {

// Which tensors a rule means, and how their positions are counted.
struct TensorKind {
  enum class Position : std::uint8_t {
    kNone,
    kCounted,  // i of the tensors of this kind
    kLayer,    // i of the layers; counted too, unless the model has experts
  };
  std::string name;
  Regex match;
  Position position = Position::kNone;
};

struct ModelClass {
  std::string name;  // "70b"
  std::string architecture;
  std::int64_t layers = 0;
  bool grouped = false;  // only with fewer key and value heads than query heads
};

struct RecipeBook {
  std::vector<Regex> kept;
  std::vector<TensorKind> kinds;  // the first that matches
  std::vector<ModelClass> models;
  ElementType output_of_other_widths;  // where the base type does not fit the width
  Json rows;                           // "file_types"
  Json rule_sets;                      // "rules"
  Json needs_importance;
};

// Read once; the reference lives as long as the process.
const Result<RecipeBook>& recipe_book();

}  // namespace quantlane
