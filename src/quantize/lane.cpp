#include "quantize/lane.h"

#include <array>
#include <utility>

#include "core/check.h"
#include "core/embedded.h"
#include "core/json.h"

namespace quantlane {

std::span<const EmbeddedFile> embedded_recipes();

namespace {

constexpr std::string_view kGgufPrefix = "gguf:";

Result<Json> embedded_json(std::string_view name) {
  for (const EmbeddedFile& file : embedded_recipes()) {
    if (file.name == name) return Json::parse(file.text(), std::string(name));
  }
  return fail(make_error(ErrorCode::kInternal, "looking for embedded data").of(std::string(name)));
}

std::optional<Role> role_by_name(std::string_view name) {
  constexpr std::array<std::pair<std::string_view, Role>, 8> kRoles = {
      {{"query", Role::kQuery},
       {"key", Role::kKey},
       {"value", Role::kValue},
       {"attention_output", Role::kAttentionOutput},
       {"gate", Role::kGate},
       {"up", Role::kUp},
       {"down", Role::kDown},
       {"embedding", Role::kEmbedding}}};
  for (const auto& [text, role] : kRoles) {
    if (text == name) return role;
  }
  return std::nullopt;
}

Result<ElementType> type_by_name(std::string_view name) {
  if (const BlockFormat* block = block_format_by_name(name)) return ElementType{.block = block};
  if (const auto plain = dtype_from_name(name)) return ElementType{.plain = *plain};
  return fail(make_error(ErrorCode::kInternal, "reading a recipe")
                  .got(std::string(name))
                  .expects("the name of a type"));
}

Result<GgufRecipe> read_recipe(const Json& json) {
  GgufRecipe recipe;
  recipe.name = json["name"].string();
  recipe.file_type = static_cast<int>(json["file_type"].integer());
  QUANTLANE_TRY(recipe.base, type_by_name(json["base"].string()));
  QUANTLANE_TRY(recipe.output, type_by_name(json["output"].string(json["base"].string())));
  for (const Json& rule : json["rules"].items()) {
    const auto role = role_by_name(rule["role"].string());
    if (!role) {
      return fail(make_error(ErrorCode::kInternal, "reading a recipe")
                      .of(recipe.name)
                      .got(std::string(rule["role"].string())));
    }
    QUANTLANE_TRY(const ElementType type, type_by_name(rule["type"].string()));
    recipe.rules.push_back(
        {.role = *role, .layers = std::string(rule["layers"].string("all")), .type = type});
  }
  return recipe;
}

Result<std::optional<ActivationScheme>> read_input(std::string_view spelling) {
  if (spelling.empty()) return std::nullopt;
  ActivationScheme scheme;
  if (spelling == "fp8_e4m3_token") {
    scheme.type = ValueType::kFloat;
  } else if (spelling != "int8_token") {
    return fail(make_error(ErrorCode::kInternal, "reading a lane").got(std::string(spelling)));
  }
  return scheme;
}

Result<Lane> read_folder_lane(const Json& json) {
  Lane lane;
  lane.name = json["name"].string();
  lane.summary = json["summary"].string();
  lane.engines = json["engines"].string();
  lane.algorithm = json["algorithm"].string();
  const std::string_view dialect = json["dialect"].string();
  if (dialect == "plain") {
    lane.plain = dtype_from_name(json["weights"].string());
    return lane;
  }
  lane.dialect = dialect_by_name(dialect);
  QUANTLANE_TRY(lane.scheme.weight, Scheme::parse(json["weights"].string()));
  QUANTLANE_TRY(lane.scheme.input, read_input(json["input"].string()));
  return lane;
}

Result<Lane> read_gguf_lane(const Json& json) {
  Lane lane;
  lane.name = std::string(kGgufPrefix) + std::string(json["name"].string());
  lane.engines = "llama.cpp, Ollama, LM Studio, LocalAI";
  lane.algorithm = json["algorithm"].string("weighted");
  QUANTLANE_TRY(lane.recipe, read_recipe(json));
  lane.summary = "GGUF " + lane.recipe->name + ", base " + std::string(lane.recipe->base.name());
  return lane;
}

Error unknown_lane(std::string_view name) {
  std::string known;
  for (const std::string& lane : lane_names()) known += (known.empty() ? "" : ", ") + lane;
  return usage_error("looking for a lane")
      .got("\"" + std::string(name) + "\"")
      .expects("one of " + known);
}

bool layer_matches(std::string_view layers, std::int64_t layer, std::int64_t count) {
  if (layers == "more_bits") return takes_more_bits(layer, count);
  if (layers == "first_eighth") return layer < count / 8;
  if (layers == "first_four") return layer < 4;
  return layers == "all";
}

bool row_fits(const ElementType& type, std::int64_t cols) {
  return type.block == nullptr || cols % type.block->block_values == 0;
}

// llama.cpp's LLM_TYPE_70B: 80 layers whose query heads share keys and values
// (src/llama-model.cpp). Their small value matrices get more bits.
bool is_70b(const ModelConfig& config) {
  const Architecture* architecture = architecture_by_name(config.architecture);
  return architecture != nullptr && config.layer_count == 80 &&
         config.kv_head_count != config.head_count &&
         (architecture->gguf_name == "llama" || architecture->gguf_name == "qwen2");
}

}  // namespace

bool takes_more_bits(std::int64_t layer, std::int64_t layers) {
  const std::int64_t eighth = layers / 8;
  return layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
}

ElementType GgufRecipe::assign(const Parameter& parameter, const ModelConfig& config,
                               std::string* notice) const {
  if (!is_linear(parameter.role) && parameter.role != Role::kEmbedding) {
    return {.plain = DType::kF32};  // norms and biases
  }
  ElementType type = base;
  const bool is_output = parameter.role == Role::kHead ||
                         (parameter.role == Role::kEmbedding && config.tied_embeddings);
  if (is_output) {
    // llama.cpp decides by the base type: a width that its blocks do not divide gives Q8_0.
    type = row_fits(base, parameter.cols) ? output
                                          : ElementType{.block = block_format_by_name("q8_0")};
  } else {
    for (const Rule& rule : rules) {
      if (rule.role == parameter.role &&
          layer_matches(rule.layers, parameter.layer, config.layer_count)) {
        type = rule.type;
      }
    }
    if (parameter.role == Role::kValue && type.name() == "q4_k" && is_70b(config)) {
      type = ElementType{.block = block_format_by_name("q5_k")};
    }
  }
  const ElementType wanted = type;
  while (!row_fits(type, parameter.cols)) {
    const BlockFormat* next = block_format_by_name(type.block->fallback);
    type = next != nullptr ? ElementType{.block = next} : ElementType{.plain = DType::kF16};
  }
  if (notice != nullptr && type != wanted) {
    *notice = std::string(wanted.name()) + " -> " + std::string(type.name()) + ": " +
              std::to_string(parameter.cols) + " columns are no multiple of " +
              std::to_string(wanted.block->block_values);
  }
  return type;
}

std::string Lane::dialect_name() const {
  if (is_gguf()) return "gguf";
  return dialect != nullptr ? std::string(dialect->name) : "plain";
}

Result<Lane> find_lane(std::string_view name) {
  const bool gguf = name.starts_with(kGgufPrefix);
  QUANTLANE_TRY(const Json rows,
                embedded_json(gguf ? "data/recipes/gguf.json" : "data/lanes/lanes.json"));
  const std::string_view wanted = gguf ? name.substr(kGgufPrefix.size()) : name;
  for (const Json& row : rows.items()) {
    if (row["name"].string() == wanted) return gguf ? read_gguf_lane(row) : read_folder_lane(row);
  }
  return fail(unknown_lane(name));
}

std::vector<std::string> lane_names() {
  std::vector<std::string> names;
  for (const auto& [file, prefix] :
       {std::pair<std::string_view, std::string_view>{"data/lanes/lanes.json", ""},
        {"data/recipes/gguf.json", kGgufPrefix}}) {
    const auto rows = embedded_json(file);
    if (!rows) continue;
    for (const Json& row : rows->items())
      names.push_back(std::string(prefix) + std::string(row["name"].string()));
  }
  return names;
}

std::vector<std::string> default_lanes() {
  return {"fp8", "w8a8", "w4a16", "gguf:q8_0", "gguf:q6_k", "gguf:q4_k_m"};
}

}  // namespace quantlane
