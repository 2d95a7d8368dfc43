#include "quantize/lanes/lane.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "core/ascii.h"
#include "core/check.h"
#include "core/embedded.h"
#include "core/json.h"
#include "quantize/algorithms/algorithm.h"
#include "quantize/lanes/transfer.h"
#include "quantize/transforms/transform.h"

namespace quantlane {

std::span<const EmbeddedFile> embedded_recipes();

namespace {

constexpr std::string_view kGgufPrefix = "gguf:";
constexpr std::string_view kBestPrefix = "gguf:best-";

Result<Json> embedded_lanes() {
  constexpr std::string_view kFile = "data/lanes/lanes.json";
  for (const EmbeddedFile& file : embedded_recipes()) {
    if (file.name == kFile) return Json::parse(file.text(), std::string(kFile));
  }
  return fail(make_error(ErrorCode::kInternal, "looking for embedded data").of(std::string(kFile)));
}

// For a lane whose name is that of an algorithm which it does not run by itself (the member
// "named_after" of its row): file formats were named after the algorithms that first filled them.
std::string format_note(std::string_view lane, std::string_view part) {
  return fmt::format("the name of a file format: the {1} algorithm is not run ({0}+{1} runs it)",
                     lane, part);
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
  lane.groups = groups_of_row(json);
  if (json.contains("named_after"))
    lane.notes = {format_note(lane.name, json["named_after"].string())};
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

// Types of a "best" lane are chosen matrix by matrix; its file type only says about how large it
// is.
struct UsualType {
  double below;  // bits per weight
  std::string_view name;
};
constexpr std::array kUsualTypes = {UsualType{3.1, "q2_k"},   UsualType{4.3, "q3_k_m"},
                                    UsualType{5.2, "q4_k_m"}, UsualType{6.1, "q5_k_m"},
                                    UsualType{7.5, "q6_k"},   UsualType{1e9, "q8_0"}};

// "4.5bpw" of "gguf:best-4.5bpw".
Result<Lane> find_best_lane(std::string_view name, std::string_view size) {
  double bits = 0;
  const auto [end, error] = std::from_chars(size.data(), size.data() + size.size(), bits);
  const std::string_view unit(end, static_cast<std::size_t>(size.data() + size.size() - end));
  if (error != std::errc() || unit != "bpw" || !(bits >= 1 && bits <= 16)) {
    return fail(usage_error("looking for a lane")
                    .expects("gguf:best-NUMBERbpw with 1 to 16 bits, such as gguf:best-4.5bpw")
                    .got("\"" + std::string(name) + "\""));
  }
  QUANTLANE_TRY(Lane lane,
                find_gguf_lane(std::ranges::find_if(kUsualTypes, [&](const UsualType& type) {
                                 return bits < type.below;
                               })->name));
  lane.name = name;
  lane.summary =
      fmt::format("GGUF of {} bits per weight, types by measured loss, error feedback", bits);
  lane.algorithm = "gptq";
  lane.size.bits_per_weight = bits;
  return lane;
}

Error unknown_lane(std::string_view name) {
  std::string known;
  for (const std::string& lane : lane_names()) {
    if (!lane.starts_with(kGgufPrefix)) known += lane + ", ";
  }
  std::string variants;
  for (const std::string& line : lane_variants()) variants += ", " + line;
  const auto rows = embedded_lanes();
  const std::string near = rows ? near_variants(*rows, name) : "";
  return usage_error("looking for a lane")
      .expects(known + "or gguf: and a file type, such as gguf:q4_k_m; spelled out also" +
               variants.substr(std::min<std::size_t>(1, variants.size())))
      .got("\"" + std::string(name) + "\"")
      .advise(near.empty() ? "quantlane quantize --help lists all lanes" : "there are " + near);
}

template <class Rows>
std::string names_of(const Rows& rows) {
  std::string names;
  for (const auto* row : rows) names += (names.empty() ? "" : ", ") + std::string(row->name);
  return names;
}

}  // namespace

Result<void> check_sized_algorithm(const Lane& lane) {
  const Algorithm* algorithm = algorithm_by_name(lane.algorithm);
  if (!lane.algorithm_named || (algorithm != nullptr && algorithm->wants_statistics)) return {};
  return fail(usage_error("choosing types for a size")
                  .of(lane.name)
                  .expects("an algorithm that weighs errors, as the choice of types does")
                  .got("+" + lane.algorithm)
                  .advise("leave +" + lane.algorithm + " out, or name a recipe without a size"));
}

namespace {

// "w4a16+awq+gptq": transforms before rounding, then another algorithm than the lane's own.
Result<Lane> with_parts(Lane lane, std::string_view parts) {
  const Error refused =
      usage_error("looking for a lane").got("\"" + lane.name + "+" + std::string(parts) + "\"");
  const bool quantizes =
      lane.dialect != nullptr || (lane.is_gguf() && lane.recipe->base.block != nullptr);
  lane.notes.clear();  // what is to run is named
  for (bool last = false; !last;) {
    const std::size_t plus = parts.find('+');
    const std::string part(parts.substr(0, plus));
    last = plus == std::string_view::npos;
    if (!last) parts.remove_prefix(plus + 1);
    const Transform* transform = transform_by_name(part);
    if (!quantizes &&
        (transform == nullptr ? algorithm_by_name(part) != nullptr : transform->wants_pass)) {
      return fail(
          Error(refused)
              .expects("a lane that quantizes: +" + part + " looks for the least error of rounding")
              .advise("f32+rotate, bf16+rotate and the like only turn the weights"));
    }
    if (transform != nullptr) {
      if (transform->turns_inputs && !lane.transforms.empty()) {
        return fail(Error(refused)
                        .expects(part + " once and before other transforms, whose factors it "
                                        "would fold back")
                        .advise(lane.transforms.front() == part
                                    ? "leave one +" + part + " out"
                                    : "+" + part + "+" + lane.transforms.front()));
      }
      lane.transforms.push_back(part);
    } else if (last && algorithm_by_name(part) != nullptr) {
      lane.algorithm = part;
      lane.algorithm_named = true;
      if (lane.size.any()) QUANTLANE_TRY_VOID(check_sized_algorithm(lane));
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
  const std::string lower = ascii_lower(name);
  name = lower;
  if (const auto plus = name.find('+'); plus != std::string_view::npos) {
    QUANTLANE_TRY(const Lane lane, find_lane(name.substr(0, plus)));
    return with_parts(lane, name.substr(plus + 1));
  }
  if (name.starts_with(kBestPrefix)) return find_best_lane(name, name.substr(kBestPrefix.size()));
  if (name.starts_with(kGgufPrefix)) {
    auto lane = find_gguf_lane(name.substr(kGgufPrefix.size()));
    if (!lane && lane.error().code == ErrorCode::kNotFound) return fail(unknown_lane(name));
    return lane;
  }
  QUANTLANE_TRY(const Json rows, embedded_lanes());
  QUANTLANE_TRY(const auto row, lane_row(rows, name));
  return row ? read_folder_lane(*row) : fail(unknown_lane(name));
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

std::vector<std::string> lane_variants() {
  const auto rows = embedded_lanes();
  return rows ? variant_grammar(*rows) : std::vector<std::string>();
}

std::vector<std::string> default_lanes() {
  return {"fp8", "w8a8", "w4a16", "gguf:q8_0", "gguf:q6_k", "gguf:q4_k_m"};
}

}  // namespace quantlane
