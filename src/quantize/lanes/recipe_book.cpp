// Reads data/recipes/gguf.json. A misspelt key, kind, type or choice of layers is an error.
#include "quantize/lanes/recipe_book.h"

#include <algorithm>
#include <array>
#include <utility>

#include "core/ascii.h"
#include "core/check.h"
#include "core/embedded.h"

namespace quantlane {

std::span<const EmbeddedFile> embedded_recipes();

namespace {

constexpr std::string_view kFile = "data/recipes/gguf.json";

struct LayerChoice {
  std::string_view name;
  bool (*holds)(std::int64_t i, std::int64_t n);
};
constexpr std::array kLayerChoices = {
    LayerChoice{"more_bits", takes_more_bits},
    LayerChoice{"first_eighth", [](std::int64_t i, std::int64_t n) { return i < n / 8; }},
    LayerChoice{"first_sixteenth", [](std::int64_t i, std::int64_t n) { return i < n / 16; }},
    LayerChoice{"middle",
                [](std::int64_t i, std::int64_t n) { return i >= n / 8 && i < 7 * n / 8; }},
};

Error bad_data(std::string_view what) {
  return make_error(ErrorCode::kInternal, "reading the recipes")
      .in(std::string(kFile))
      .got(std::string(what));
}

std::optional<ElementType> type_by_name(std::string_view name) {
  if (const BlockFormat* block = block_format_by_name(name)) return ElementType{.block = block};
  const auto plain = dtype_from_name(name);
  if (plain == DType::kF32 || plain == DType::kF16 || plain == DType::kBF16) {
    return ElementType{.plain = *plain};
  }
  return std::nullopt;
}

std::string type_names() {
  std::string names = "f32, f16, bf16";
  for (const BlockFormat* block : block_formats()) {
    if (can_write({.block = block})) names += ", " + std::string(block->name);
  }
  return names;
}

Result<ElementType> type_of(const Json& json, const std::string& recipe) {
  if (const auto type = type_by_name(json.string())) return *type;
  return fail(unsupported("reading the recipe of gguf:" + recipe)
                  .expects("types that this version knows")
                  .got(std::string(json.string()))
                  .advise("choose another file type: quantlane quantize --help lists them"));
}

Result<std::vector<ElementType>> types_of(const Json& json, const std::string& recipe) {
  std::vector<ElementType> types;
  for (const Json& item : json.items()) {
    QUANTLANE_TRY(const ElementType type, type_of(item, recipe));
    types.push_back(type);
  }
  return types;
}

// Only keys of `known`: a misspelt condition would otherwise always hold.
Result<void> check_keys(const Json& json, std::span<const std::string_view> known) {
  for (const auto& [key, value] : json.members()) {
    if (std::ranges::find(known, key) == known.end()) return fail(bad_data(json.dump()).of(key));
  }
  return {};
}

bool is_kind(const RecipeBook& book, std::string_view name) {
  return name == "*" ||
         std::ranges::any_of(book.kinds, [&](const TensorKind& kind) { return kind.name == name; });
}

Result<RecipeRule> read_rule(const RecipeBook& book, const Json& json, const std::string& recipe) {
  constexpr std::array<std::string_view, 11> kKeys = {
      "of",          "type",       "layers",  "first", "min_gqa", "experts",
      "min_experts", "importance", "stacked", "model", "from"};
  QUANTLANE_TRY_VOID(check_keys(json, kKeys));
  RecipeRule rule;
  rule.of = json["of"].string();
  if (!is_kind(book, rule.of)) return fail(bad_data(json.dump()).of(recipe));
  QUANTLANE_TRY(rule.type, type_of(json["type"], recipe));
  if (const Json* layers = json.find("layers")) {
    const auto choice = std::ranges::find(kLayerChoices, layers->string(), &LayerChoice::name);
    if (choice == kLayerChoices.end()) return fail(bad_data(json.dump()).of(recipe));
    rule.layers = choice->holds;
  }
  rule.first = json["first"].integer();
  rule.min_gqa = json["min_gqa"].integer();
  rule.experts = json["experts"].integer();
  rule.min_experts = json["min_experts"].integer();
  if (const Json* importance = json.find("importance")) rule.importance = importance->boolean();
  rule.stacked = json["stacked"].boolean();
  rule.model = json["model"].string();
  QUANTLANE_TRY(rule.from, types_of(json["from"], recipe));
  return rule;
}

// Rules of a row: objects, or names of sets.
Result<void> add_rules(const RecipeBook& book, const Json& rules, GgufRecipe& recipe) {
  for (const Json& json : rules.items()) {
    if (json.is_string()) {
      const Json* set = book.rule_sets.find(json.string());
      if (set == nullptr) return fail(bad_data(json.string()).of(recipe.name));
      QUANTLANE_TRY_VOID(add_rules(book, *set, recipe));
      continue;
    }
    QUANTLANE_TRY(RecipeRule rule, read_rule(book, json, recipe.name));
    recipe.rules.push_back(std::move(rule));
  }
  return {};
}

Result<GgufRecipe> read_recipe(const RecipeBook& book, const Json& json) {
  constexpr std::array<std::string_view, 8> kKeys = {
      "name", "aliases", "file_type", "base", "output", "algorithm", "needs_importance", "rules"};
  QUANTLANE_TRY_VOID(check_keys(json, kKeys));
  GgufRecipe recipe;
  recipe.name = json["name"].string();
  recipe.file_type = static_cast<int>(json["file_type"].integer());
  recipe.algorithm = json["algorithm"].string("weighted");
  QUANTLANE_TRY(recipe.base, type_of(json["base"], recipe.name));
  recipe.output = recipe.base;
  if (const Json* output = json.find("output")) {
    QUANTLANE_TRY(recipe.output, type_of(*output, recipe.name));
  }
  for (const Json* list : {&book.needs_importance, &json["needs_importance"]}) {
    for (const Json& item : list->items()) {
      // A type that cannot be written yet cannot be missed either.
      if (const auto type = type_by_name(item.string())) recipe.needs_importance.push_back(*type);
    }
  }
  QUANTLANE_TRY_VOID(add_rules(book, json["rules"], recipe));
  return recipe;
}

Result<void> read_kinds(const Json& json, RecipeBook& book) {
  for (const Json& pattern : json["kept"].items()) {
    QUANTLANE_TRY(Regex regex, Regex::compile(pattern.string()));
    book.kept.push_back(std::move(regex));
  }
  for (const Json& row : json["kinds"].items()) {
    QUANTLANE_TRY(Regex regex, Regex::compile(row["match"].string()));
    const std::string_view position = row["position"].string();
    using Position = TensorKind::Position;
    if (!position.empty() && position != "counted" && position != "layer") {
      return fail(bad_data(row.dump()));
    }
    book.kinds.push_back({.name = std::string(row["kind"].string()),
                          .match = std::move(regex),
                          .position = position == "counted" ? Position::kCounted
                                      : position == "layer" ? Position::kLayer
                                                            : Position::kNone});
  }
  return {};
}

Result<RecipeBook> read_book() {
  const auto files = embedded_recipes();
  const auto file = std::ranges::find(files, kFile, &EmbeddedFile::name);
  if (file == files.end()) return fail(bad_data("no such embedded file"));
  QUANTLANE_TRY(const Json json, Json::parse(file->text(), std::string(kFile)));
  RecipeBook book;
  QUANTLANE_TRY_VOID(read_kinds(json, book));
  for (const Json& row : json["models"].items()) {
    book.models.push_back({.name = std::string(row["model"].string()),
                           .architecture = std::string(row["arch"].string()),
                           .layers = row["layers"].integer(),
                           .grouped = row["grouped"].boolean()});
  }
  const auto other_widths = type_by_name(json["output_of_other_widths"].string());
  if (!other_widths) return fail(bad_data("output_of_other_widths"));
  book.output_of_other_widths = *other_widths;
  book.rule_sets = json["rules"];
  book.needs_importance = json["needs_importance"];
  book.rows = json["file_types"];
  return book;
}

bool is_called(const Json& row, std::string_view name) {
  return row["name"].string() == name ||
         std::ranges::any_of(row["aliases"].items(),
                             [&](const Json& alias) { return alias.string() == name; });
}

}  // namespace

bool can_write(const ElementType& type) {
  return type.block == nullptr || type.block->encode != nullptr;
}

const Result<RecipeBook>& recipe_book() {
  static const Result<RecipeBook> book = read_book();
  return book;
}

Result<GgufRecipe> find_recipe(std::string_view name) {
  const auto& book = recipe_book();
  if (!book) return std::unexpected(book.error());
  for (const Json& row : book->rows.items()) {
    if (is_called(row, name)) return read_recipe(*book, row);
  }
  return fail(not_found("looking for a GGUF file type").got(std::string(name)));
}

std::vector<std::string> recipe_names() {
  std::vector<std::string> names;
  const auto& book = recipe_book();
  if (!book) return names;
  for (const Json& row : book->rows.items()) names.emplace_back(row["name"].string());
  return names;
}

Result<ElementType> writable_type(std::string_view name) {
  const auto type = type_by_name(ascii_lower(name));
  if (type && can_write(*type)) return *type;
  return fail(usage_error("choosing the type of a tensor")
                  .expects("one of " + type_names())
                  .got("\"" + std::string(name) + "\""));
}

}  // namespace quantlane
