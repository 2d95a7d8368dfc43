#include "quantize/folder/plain_parts.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include <fmt/format.h>

#include "core/check.h"
#include "core/regex.h"

namespace quantlane {
namespace {

constexpr std::string_view kSenses = "vision and audio towers";
constexpr std::string_view kAhead = "layers that predict tokens ahead";

struct PartName {
  std::string_view word;  // in the name of a module
  std::string_view part;
};
// ModelOpt 0.47 (modelopt_recipes/configs/ptq/units/default_disabled_quantizers.yaml) keeps these,
// llm-compressor's recipes list them under "ignore". vLLM 0.33.0 builds eh_proj as nn.Linear
// (models/deepseek_mtp.py, glm4_moe_mtp.py): its codes would find no place.
constexpr std::array kPartNames = {
    PartName{"visual", kSenses},       PartName{"vision", kSenses},
    PartName{"audio", kSenses},        PartName{"multi_modal_projector", kSenses},
    PartName{"mm_projector", kSenses}, PartName{"mtp.", kAhead},
    PartName{"eh_proj", kAhead},       PartName{"shared_head", kAhead},
};

// 61 of "model.layers.61.mlp.up_proj"; nullopt where that is no layer of the text model.
std::optional<std::int64_t> text_layer_of(std::string_view module) {
  constexpr std::string_view kLayers = "layers.";
  for (const std::string_view root :
       {"", "model.", "language_model.", "model.language_model.", "language_model.model."}) {
    const std::string start = std::string(root) + std::string(kLayers);
    if (!module.starts_with(start)) continue;
    const std::string_view rest = module.substr(start.size());
    std::int64_t layer = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), layer);
    if (error == std::errc() && end != rest.data() + rest.size() && *end == '.') return layer;
  }
  return std::nullopt;
}

std::int64_t layers_of(const Json& config) {
  const Json& own = config["num_hidden_layers"];
  return (own.is_null() ? config["text_config"]["num_hidden_layers"] : own).integer(0);
}

// Patterns of the lane that find matrices of such parts and no other that would be quantized: a
// pattern such as "down_proj" means those of the text model.
Result<std::vector<Regex>> patterns_of_parts(const QuantizeJob& job,
                                             const std::vector<FolderItem>& items,
                                             std::int64_t layers) {
  std::vector<Regex> patterns;
  for (const SchemeOverride& override : job.lane.overrides) {
    if (!override.scheme) continue;
    QUANTLANE_TRY(Regex pattern, Regex::compile(override.pattern));
    const bool text = std::ranges::any_of(items, [&](const FolderItem& item) {
      const std::string module = module_of(item.name);
      return item.quantized && !plain_part_of(module, layers) && pattern.found_in(module);
    });
    if (!text) patterns.push_back(std::move(pattern));
  }
  return patterns;
}

// Other dialects have one scheme for all.
std::string_view hint_of(const QuantizeJob& job) {
  if (job.lane.dialect->writer->write_groups == nullptr) return "";
  return "; --tensor-type PATTERN=LANE with a pattern that finds such names alone quantizes them";
}

}  // namespace

std::optional<std::string_view> plain_part_of(std::string_view module, std::int64_t layers) {
  for (const PartName& name : kPartNames) {
    if (module.find(name.word) != std::string_view::npos) return name.part;
  }
  const auto layer = text_layer_of(module);
  if (layers > 0 && layer && *layer >= layers) return kAhead;
  return std::nullopt;
}

Result<void> keep_plain_parts(const QuantizeJob& job, std::vector<FolderItem>& items,
                              std::vector<std::string>& notices) {
  if (job.source.graph() != nullptr) return {};
  const std::int64_t layers = layers_of(job.source.config_json());
  QUANTLANE_TRY(const std::vector<Regex> wanted, patterns_of_parts(job, items, layers));
  for (const std::string_view part : {kSenses, kAhead}) {
    std::int64_t count = 0;
    std::string first;
    for (FolderItem& item : items) {
      const std::string module = module_of(item.name);
      if (!item.quantized || plain_part_of(module, layers) != part) continue;
      if (std::ranges::any_of(wanted, [&](const Regex& p) { return p.found_in(module); })) continue;
      item.quantized = false;
      if (count++ == 0) first = module;
    }
    if (count == 0) continue;
    notices.push_back(fmt::format("{} of {} {}: {}{}{}",
                                  count == 1 ? "1 matrix" : fmt::format("{} matrices", count), part,
                                  count == 1 ? "stays as it is" : "stay as they are", first,
                                  count == 1 ? "" : " and others", hint_of(job)));
  }
  return {};
}

}  // namespace quantlane
