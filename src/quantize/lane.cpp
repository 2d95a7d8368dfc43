#include "quantize/lane.h"

#include <algorithm>
#include <map>
#include <utility>

#include "core/check.h"
#include "core/embedded.h"
#include "core/json.h"
#include "quantize/algorithms/algorithm.h"
#include "quantize/transfer.h"
#include "quantize/transforms/transform.h"

namespace quantlane {

std::span<const EmbeddedFile> embedded_recipes();

namespace {

constexpr std::string_view kGgufPrefix = "gguf:";

Result<Json> embedded_lanes() {
  constexpr std::string_view kFile = "data/lanes/lanes.json";
  for (const EmbeddedFile& file : embedded_recipes()) {
    if (file.name == kFile) return Json::parse(file.text(), std::string(kFile));
  }
  return fail(make_error(ErrorCode::kInternal, "looking for embedded data").of(std::string(kFile)));
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
  if (lane.dialect == nullptr || lane.dialect->writer == nullptr) {
    return fail(make_error(ErrorCode::kInternal, "reading a lane")
                    .of(lane.name)
                    .expects("a dialect that can be written")
                    .got(std::string(dialect)));
  }
  QUANTLANE_TRY(lane.scheme.weight, Scheme::parse(json["weights"].string()));
  if (json.contains("input")) {
    QUANTLANE_TRY(lane.scheme.input, ActivationScheme::parse(json["input"].string()));
  }
  return lane;
}

Result<Lane> find_gguf_lane(std::string_view file_type) {
  QUANTLANE_TRY(GgufRecipe recipe, find_recipe(file_type));
  Lane lane;
  lane.name = std::string(kGgufPrefix) + recipe.name;
  lane.engines = "llama.cpp, Ollama, LM Studio, LocalAI";
  lane.algorithm = recipe.algorithm;
  lane.summary = "GGUF " + recipe.name + ", base " + std::string(recipe.base.name());
  lane.recipe = std::move(recipe);
  return lane;
}

Error unknown_lane(std::string_view name) {
  std::string known;
  for (const std::string& lane : lane_names()) known += (known.empty() ? "" : ", ") + lane;
  return usage_error("looking for a lane")
      .got("\"" + std::string(name) + "\"")
      .expects("one of " + known);
}

template <class Rows>
std::string names_of(const Rows& rows) {
  std::string names;
  for (const auto* row : rows) names += (names.empty() ? "" : ", ") + std::string(row->name);
  return names;
}

// "w4a16+awq+gptq": transforms before rounding, then another algorithm than the lane's own.
Result<Lane> with_parts(Lane lane, std::string_view parts) {
  const Error refused =
      usage_error("looking for a lane").got("\"" + lane.name + "+" + std::string(parts) + "\"");
  if (lane.dialect == nullptr && (!lane.is_gguf() || lane.recipe->base.block == nullptr)) {
    return fail(Error(refused).expects("no algorithm with a lane that does not quantize"));
  }
  for (bool last = false; !last;) {
    const std::size_t plus = parts.find('+');
    const std::string part(parts.substr(0, plus));
    last = plus == std::string_view::npos;
    if (!last) parts.remove_prefix(plus + 1);
    if (transform_by_name(part) != nullptr) {
      lane.transforms.push_back(part);
    } else if (last && algorithm_by_name(part) != nullptr) {
      lane.algorithm = part;
    } else {
      return fail(Error(refused).expects("transforms among " + names_of(transforms()) +
                                         ", then one algorithm among " + names_of(algorithms())));
    }
    lane.name += "+" + part;
    lane.summary += ", " + part;
  }
  return lane;
}

}  // namespace

std::string Lane::dialect_name() const {
  if (is_gguf()) return "gguf";
  return dialect != nullptr ? std::string(dialect->name) : "plain";
}

Result<Lane> find_lane(std::string_view name) {
  if (const auto plus = name.find('+'); plus != std::string_view::npos) {
    QUANTLANE_TRY(const Lane lane, find_lane(name.substr(0, plus)));
    return with_parts(lane, name.substr(plus + 1));
  }
  if (name.starts_with(kGgufPrefix)) {
    auto lane = find_gguf_lane(name.substr(kGgufPrefix.size()));
    if (!lane && lane.error().code == ErrorCode::kNotFound) return fail(unknown_lane(name));
    return lane;
  }
  QUANTLANE_TRY(const Json rows, embedded_lanes());
  for (const Json& row : rows.items()) {
    if (row["name"].string() == name) return read_folder_lane(row);
  }
  return fail(unknown_lane(name));
}

Result<Lane> lane_as_stored(const Checkpoint& source) {
  std::map<std::string, std::int64_t> values;
  for (const Parameter& p : source.graph()->parameters) {
    const bool counts = is_linear(p.role) || p.role == Role::kEmbedding;
    const auto type = counts ? type_as_stored(source, p) : std::nullopt;
    if (type) values[std::string(type->name())] += p.rows * p.cols;
  }
  const auto most =
      std::ranges::max_element(values, {}, [](const auto& row) { return row.second; });
  // The one block format whose file type has another name.
  const std::string type = most == values.end() ? "f32" : most->first;
  auto lane = find_gguf_lane(type == "mxfp4" ? "mxfp4_moe" : type);
  if (!lane) lane = find_gguf_lane("f32");
  if (!lane) return lane;
  const auto file_type = source.container().metadata().integer("general.file_type");
  if (file_type && source.config_json().is_null()) {
    lane->recipe->file_type = static_cast<int>(*file_type);
  }
  lane->name = "same";
  lane->algorithm = "none";
  return lane;
}

std::vector<std::string> lane_names() {
  std::vector<std::string> names;
  if (const auto rows = embedded_lanes()) {
    for (const Json& row : rows->items()) names.emplace_back(row["name"].string());
  }
  for (const std::string& recipe : recipe_names()) {
    names.push_back(std::string(kGgufPrefix) + recipe);
  }
  return names;
}

std::vector<std::string> default_lanes() {
  return {"fp8", "w8a8", "w4a16", "gguf:q8_0", "gguf:q6_k", "gguf:q4_k_m"};
}

}  // namespace quantlane
