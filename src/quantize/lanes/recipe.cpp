// Applies a recipe to the tensors of a model. Source of the order of decisions and of how positions
// are counted: llama.cpp src/llama-quant.cpp (llama_tensor_get_type); a tensor that the user
// decides is not counted there either.
#include "quantize/lanes/recipe.h"

#include <algorithm>
#include <map>
#include <utility>

#include "core/check.h"
#include "quantize/lanes/recipe_book.h"

namespace quantlane {
namespace {

bool row_fits(const ElementType& type, std::int64_t cols) {
  return type.block == nullptr || cols % type.block->block_values == 0;
}

std::int64_t width(const RecipeTensor& tensor) {
  return tensor.shape.empty() ? 1 : tensor.shape.back();
}

struct CompiledOverride {
  const TypeOverride* row;
  Regex regex;
  std::int64_t matched = 0;  // tensors that the pattern is found in
  std::int64_t kept = 0;     // of those: never quantized
  std::int64_t decided = 0;  // of those: this override was the first
};

class Assignment {
 public:
  Assignment(const RecipeBook& book, const GgufRecipe& recipe, const RecipeModel& model,
             std::span<const RecipeTensor> tensors, const RecipeRequest& request)
      : book_(book), recipe_(recipe), model_(model), tensors_(tensors), request_(request) {}

  Result<std::vector<TypeChoice>> run() {
    QUANTLANE_TRY_VOID(compile_overrides());
    for (const RecipeTensor& tensor : tensors_) {
      const TensorKind* kind = kind_of(tensor.name);
      kinds_.push_back(kind);
      if (kind == nullptr) continue;
      ++totals_[kind];
      tied_ = tied_ && kind->name != "output";
    }
    std::vector<TypeChoice> choices;
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      QUANTLANE_TRY(TypeChoice choice, choose(tensors_[i], kinds_[i]));
      choices.push_back(choice);
    }
    QUANTLANE_TRY_VOID(check_effect());
    return choices;
  }

 private:
  Result<void> compile_overrides() {
    for (const TypeOverride& row : request_.overrides) {
      auto regex = Regex::compile(row.pattern);
      if (!regex) {
        return fail(usage_error("reading --tensor-type")
                        .expects(regex.error().expected)
                        .got("\"" + row.pattern + "\""));
      }
      overrides_.push_back({.row = &row, .regex = std::move(*regex)});
    }
    return {};
  }

  [[nodiscard]] const TensorKind* kind_of(const std::string& name) const {
    for (const TensorKind& kind : book_.kinds) {
      if (kind.match.found_in(name)) return &kind;
    }
    return nullptr;
  }

  [[nodiscard]] bool is_kept(const RecipeTensor& tensor) const {
    return tensor.shape.size() < 2 || !tensor.name.ends_with("weight") ||
           std::ranges::any_of(
               book_.kept, [&](const Regex& regex) { return regex.found_in(tensor.name); });
  }

  [[nodiscard]] bool is_output(const TensorKind* kind) const {
    return kind != nullptr && (kind->name == "output" || (tied_ && kind->name == "token_embd"));
  }

  Result<TypeChoice> choose(const RecipeTensor& tensor, const TensorKind* kind) {
    TypeChoice choice;
    choice.kept = is_kept(tensor);
    const std::optional<ElementType> wish = requested(tensor, kind, choice.kept);
    if (choice.kept) return choice;  // f32
    const bool quantizes = recipe_.base.block != nullptr;
    choice.wanted = wish                          ? *wish
                    : request_.pure || !quantizes ? recipe_.base
                    : is_output(kind)             ? output_type(width(tensor))
                                                  : by_rules(tensor, kind);
    QUANTLANE_TRY(choice.type, fitting(choice.wanted, tensor));
    const bool exempt = kind != nullptr && (kind->name == "output" || kind->name == "token_embd");
    choice.needs_importance = !exempt && std::ranges::find(recipe_.needs_importance, choice.type) !=
                                             recipe_.needs_importance.end();
    return choice;
  }

  // What the user asked for; counts what each override did.
  std::optional<ElementType> requested(const RecipeTensor& tensor, const TensorKind* kind,
                                       bool kept) {
    CompiledOverride* first = nullptr;
    for (CompiledOverride& row : overrides_) {
      if (!row.regex.found_in(tensor.name)) continue;
      ++row.matched;
      if (kept) ++row.kept;
      if (first == nullptr) first = &row;
    }
    if (kept) return std::nullopt;
    if (kind != nullptr && kind->name == "token_embd" && request_.embedding) {
      return request_.embedding;
    }
    if (kind != nullptr && kind->name == "output" && request_.output) {
      output_used_ = true;
      return request_.output;
    }
    if (first != nullptr) {
      ++first->decided;
      return first->row->type;
    }
    if (!is_output(kind) || !request_.output) return std::nullopt;
    output_used_ = true;
    return request_.output;
  }

  // llama.cpp decides by the base type: a width that its blocks do not divide gives Q8_0.
  [[nodiscard]] ElementType output_type(std::int64_t cols) const {
    return row_fits(recipe_.base, cols) ? recipe_.output : book_.output_of_other_widths;
  }

  ElementType by_rules(const RecipeTensor& tensor, const TensorKind* kind) {
    std::int64_t index = 0;
    std::int64_t count = 0;
    if (kind != nullptr) {
      index = decided_[kind]++;
      count = totals_[kind];
      if (kind->position == TensorKind::Position::kLayer) {
        count = model_.layers;
        if (model_.experts > 1) index = tensor.layer;
      }
    }
    ElementType type = recipe_.base;
    for (const RecipeRule& rule : recipe_.rules) {
      const bool meant = rule.of == "*" || (kind != nullptr && kind->name == rule.of);
      if (meant && holds_for_model(rule) && holds_for_tensor(rule, tensor, index, count, type)) {
        type = rule.type;
      }
    }
    return type;
  }

  [[nodiscard]] bool holds_for_model(const RecipeRule& rule) const {
    const std::int64_t gqa = model_.kv_heads > 0 ? model_.heads / model_.kv_heads : 0;
    return gqa >= rule.min_gqa && (rule.experts == 0 || model_.experts == rule.experts) &&
           model_.experts >= rule.min_experts &&
           (!rule.importance || *rule.importance == request_.importance) &&
           (rule.model.empty() || is_model(rule.model));
  }

  static bool holds_for_tensor(const RecipeRule& rule, const RecipeTensor& tensor,
                               std::int64_t index, std::int64_t count, const ElementType& type) {
    return (rule.layers == nullptr || rule.layers(index, count)) &&
           (rule.first == 0 || index < rule.first) && (!rule.stacked || tensor.shape.size() > 2) &&
           (rule.from.empty() || std::ranges::find(rule.from, type) != rule.from.end());
  }

  [[nodiscard]] bool is_model(std::string_view name) const {
    return std::ranges::any_of(book_.models, [&](const ModelClass& row) {
      return row.name == name && row.architecture == model_.architecture &&
             row.layers == model_.layers && (!row.grouped || model_.heads != model_.kv_heads);
    });
  }

  Result<ElementType> fitting(ElementType type, const RecipeTensor& tensor) const {
    const std::int64_t cols = width(tensor);
    while (!row_fits(type, cols)) {
      const BlockFormat* next = block_format_by_name(type.block->fallback);
      // llama.cpp has no fallback for larger blocks without one: a file of almost nothing but f16
      // is not what was asked for.
      if (next == nullptr && type.block->block_values > 32) {
        return fail(unsupported("choosing the type of a tensor for gguf:" + recipe_.name)
                        .of(tensor.name)
                        .expects("a width that " + std::to_string(type.block->block_values) +
                                 " divides, as the blocks of " + std::string(type.name()) +
                                 " need it")
                        .got(std::to_string(cols) + " columns")
                        .advise("give it another type with --tensor-type, or choose another lane"));
      }
      type = next != nullptr ? ElementType{.block = next} : ElementType{.plain = DType::kF16};
    }
    return type;
  }

  // A request without effect is a mistake that the file would not show.
  Result<void> check_effect() const {
    for (const CompiledOverride& row : overrides_) {
      if (row.decided > 0) continue;
      const std::string found = row.matched == 0 ? "no tensor of this name"
                                : row.kept == row.matched
                                    ? "only tensors that are never quantized (norms, biases)"
                                    : "only tensors that an earlier option decides";
      return fail(invalid("applying --tensor-type")
                      .of(row.row->pattern)
                      .expects("a pattern that is found in the name of a matrix, such as attn_v or "
                               "blk\\.0\\.ffn_down")
                      .got(found)
                      .advise("--dry-run lists the names of all tensors"));
    }
    if (request_.output && !output_used_) {
      return fail(invalid("applying --output-type")
                      .expects("an output matrix that nothing else decides")
                      .got(tied_ ? "tied embeddings, which another option gives a type"
                                 : "no output matrix"));
    }
    return {};
  }

  const RecipeBook& book_;
  const GgufRecipe& recipe_;
  const RecipeModel& model_;
  std::span<const RecipeTensor> tensors_;
  const RecipeRequest& request_;
  std::vector<CompiledOverride> overrides_;
  std::vector<const TensorKind*> kinds_;  // of each tensor
  std::map<const TensorKind*, std::int64_t> totals_;
  std::map<const TensorKind*, std::int64_t> decided_;  // by the recipe so far
  bool tied_ = true;
  bool output_used_ = false;
};

}  // namespace

bool takes_more_bits(std::int64_t index, std::int64_t count) {
  const std::int64_t eighth = count / 8;
  return index < eighth || index >= 7 * count / 8 || (index - eighth) % 3 == 2;
}

Result<std::vector<TypeChoice>> assign_types(const GgufRecipe& recipe, const RecipeModel& model,
                                             std::span<const RecipeTensor> tensors,
                                             const RecipeRequest& request) {
  const auto& book = recipe_book();
  if (!book) return std::unexpected(book.error());
  return Assignment(*book, recipe, model, tensors, request).run();
}

}  // namespace quantlane
