// Tensors are named "base_model.model." + module + ".lora_A.weight" [r, in], ".lora_B.weight"
// [out, r], ".lora_magnitude_vector[.weight]" [out]; of embeddings ".lora_embedding_A" [r, V] and
// ".lora_embedding_B" [D, r], whose product is transposed, with magnitudes [D] of the columns.
// Modules given whole keep their own name.
// Source: peft/tuners/lora/layer.py and peft/utils/save_and_load.py of PEFT.
#include "model/adapters/peft.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "core/check.h"
#include "core/file.h"
#include "model/adapters/adapter_parts.h"
#include "model/adapters/peft_config.h"
#include "model/adapters/peft_tokens.h"

namespace quantlane {
namespace {

constexpr std::string_view kConfig = "adapter_config.json";
constexpr std::string_view kWeights = "adapter_model.safetensors";

bool recognises(const fs::path& path) {
  std::error_code code;
  if (!fs::exists(path / kConfig, code)) return false;
  return fs::exists(path / kWeights, code) || fs::exists(path / "adapter_model.bin", code);
}

class Reader {
 public:
  Reader(const PeftConfig& config, AdapterTensors& tensors, const AdapterBase& base,
         Adapter& adapter)
      : config_(config), tensors_(tensors), base_(base), adapter_(adapter) {}

  Result<void> run() {
    for (const Parameter& parameter : base_.graph.parameters) {
      if (takes_delta(parameter)) {
        QUANTLANE_TRY_VOID(read_delta(parameter));
      }
      QUANTLANE_TRY_VOID(read_replacement(parameter));
    }
    QUANTLANE_TRY_VOID(read_tied_head());
    QUANTLANE_TRY_VOID(read_peft_tokens(config_, tensors_, base_, adapter_));
    QUANTLANE_TRY_VOID(tensors_.check_all_used());
    QUANTLANE_TRY_VOID(check_reached());
    add_notices();
    return {};
  }

 private:
  // The tensor of `module` with this ending, under any spelling of its prefix.
  [[nodiscard]] const TensorInfo* find(const std::string& module, std::string_view ending) const {
    return tensors_.find(kPeftPrefixes, module + std::string(ending));
  }

  // Those of adapted Linears are saved under base_layer.
  [[nodiscard]] const TensorInfo* find_bias(const std::string& name) const {
    if (const TensorInfo* found = find(name, "")) return found;
    return find(name.substr(0, name.rfind('.')), ".base_layer.bias");
  }

  Result<void> check_shape(const TensorInfo& tensor, const std::vector<std::int64_t>& shape) {
    if (tensor.shape == shape) return {};
    return fail(other_base(tensors_.origin(), tensor.name, shape_text(shape) + " for " + base_.path,
                           shape_text(tensor.shape)));
  }

  Result<void> read_delta(const Parameter& parameter) {
    const std::string module = adapter_module(parameter);
    const bool embedding = parameter.role == Role::kEmbedding;
    const TensorInfo* a =
        embedding ? find(module, ".lora_embedding_A") : find(module, ".lora_A.weight");
    const TensorInfo* b =
        embedding ? find(module, ".lora_embedding_B") : find(module, ".lora_B.weight");
    if (a == nullptr && !embedding) a = find(module, ".lora_A.default.weight");
    if (b == nullptr && !embedding) b = find(module, ".lora_B.default.weight");
    QUANTLANE_TRY(const bool target,
                  config_.targets_module(module, parameter.layer, is_linear(parameter.role),
                                         parameter.role == Role::kHead));
    if (a == nullptr && b == nullptr) {
      if (!target) return {};
      return fail(other_base(tensors_.origin(),
                             module + (embedding ? ".lora_embedding_A" : ".lora_A.weight"),
                             "the tensors of a module that target_modules names", "none"));
    }
    if (!target && config_.targets_given) {
      return fail(contradiction(a != nullptr ? a->name : b->name,
                                "tensors of modules that target_modules reaches only",
                                "tensors of " + module));
    }
    if (a == nullptr || b == nullptr) {
      return fail(corrupt("reading an adapter")
                      .in(tensors_.origin())
                      .of(module)
                      .expects("both lora_A and lora_B")
                      .got("one of them"));
    }
    QUANTLANE_TRY(const PeftConfig::Settings settings, config_.settings_of(module));
    if (settings.rank_row) used_ranks_.insert(*settings.rank_row);
    if (settings.alpha_row) used_alphas_.insert(*settings.alpha_row);
    AdapterDelta delta{.rank = settings.rank,
                       .scale = settings.scale,
                       .a = {},
                       .b = {},
                       .magnitude = {},
                       .of_columns = false,
                       .tensors = {a->name, b->name}};
    // Of the right base, but of another rank.
    if (a->shape.size() == 2 && b->shape.size() == 2 && a->shape[0] == b->shape[1] &&
        a->shape[0] != delta.rank) {
      return fail(contradiction(
          a->name,
          fmt::format("rank {} ({})", delta.rank,
                      settings.rank_row
                          ? "rank_pattern." + config_.rank_pattern[*settings.rank_row].first.text()
                          : "r"),
          shape_text(a->shape)));
    }
    // W [V, D] of an embedding gets the transpose of B A [D, V].
    const std::int64_t in = embedding ? parameter.rows : parameter.cols;
    const std::int64_t out = embedding ? parameter.cols : parameter.rows;
    QUANTLANE_TRY_VOID(check_shape(*a, {delta.rank, in}));
    QUANTLANE_TRY_VOID(check_shape(*b, {out, delta.rank}));
    QUANTLANE_TRY(delta.a, tensors_.take(*a));
    QUANTLANE_TRY(delta.b, tensors_.take(*b));
    if (embedding) {
      std::vector<float> swapped = transposed(delta.a, delta.rank, in);
      delta.a = transposed(delta.b, out, delta.rank);
      delta.b = std::move(swapped);
    }
    QUANTLANE_TRY_VOID(read_magnitude(parameter, module, delta));
    adapter_.deltas.emplace(parameter.name, std::move(delta));
    return {};
  }

  Result<void> read_magnitude(const Parameter& parameter, const std::string& module,
                              AdapterDelta& delta) {
    const TensorInfo* tensor = nullptr;
    for (const char* ending : {".lora_magnitude_vector.weight", ".lora_magnitude_vector",
                               ".lora_magnitude_vector.default.weight"}) {
      if (tensor == nullptr) tensor = find(module, ending);
    }
    if (tensor == nullptr && !config_.dora) return {};
    if (tensor == nullptr || !config_.dora) {
      return fail(
          contradiction(tensor == nullptr ? module + ".lora_magnitude_vector" : tensor->name,
                        config_.dora ? "a magnitude for every adapted module (use_dora)"
                                     : "no magnitudes without use_dora",
                        tensor == nullptr ? "none" : "one"));
    }
    // The outputs of an embedding are its columns.
    delta.of_columns = parameter.role == Role::kEmbedding;
    const std::int64_t outputs = delta.of_columns ? parameter.cols : parameter.rows;
    if (tensor->element_count() != outputs) {
      return fail(other_base(tensors_.origin(), tensor->name,
                             std::to_string(outputs) + " values for " + base_.path,
                             shape_text(tensor->shape)));
    }
    QUANTLANE_TRY(delta.magnitude, tensors_.take(*tensor));
    delta.tensors.push_back(tensor->name);
    return {};
  }

  // modules_to_save, trained biases and embeddings that were saved along.
  Result<void> read_replacement(const Parameter& parameter) {
    const std::string module = adapter_module(parameter);
    const bool bias = parameter.name.ends_with(".bias");
    const TensorInfo* tensor =
        bias ? find_bias(parameter.name) : find(module, ".modules_to_save.weight");
    if (tensor == nullptr && !bias) tensor = find(module, ".modules_to_save.default.weight");
    if (tensor == nullptr && !bias) tensor = find(module, ".weight");
    if (tensor == nullptr && !bias) tensor = find(module, ".base_layer.weight");
    if (tensor == nullptr) return {};
    QUANTLANE_TRY_VOID(check_saved(parameter, bias, *tensor));
    const bool vector = bias || !takes_delta(parameter);
    QUANTLANE_TRY_VOID(check_shape(*tensor, vector ? std::vector{parameter.cols}
                                                   : std::vector{parameter.rows, parameter.cols}));
    QUANTLANE_TRY(std::vector<float> values, tensors_.take(*tensor));
    adapter_.replacements.emplace(
        parameter.name, AdapterReplacement{.values = std::move(values), .tensor = tensor->name});
    return {};
  }

  // PEFT saves embeddings along; anything else that nobody names it would not load.
  [[nodiscard]] Result<void> check_saved(const Parameter& parameter, bool bias,
                                         const TensorInfo& tensor) const {
    const bool along = bias ? config_.biases != PeftConfig::Biases::kNone
                            : parameter.role == Role::kEmbedding || parameter.role == Role::kHead;
    if (along || config_.saves(parameter.name, true)) return {};
    return fail(contradiction(
        tensor.name,
        bias ? "no biases with bias = none" : "whole parameters only of modules in modules_to_save",
        "one"));
  }

  [[nodiscard]] Error contradiction(const std::string& tensor, std::string expected,
                                    std::string found) const {
    return corrupt("reading an adapter")
        .in(tensors_.origin())
        .of(tensor)
        .expects(std::move(expected))
        .got(std::move(found))
        .advise("weights and adapter_config.json contradict each other: save both again with PEFT");
  }

  // A base whose head is its embedding has no head to give values to, unless they are the same.
  Result<void> read_tied_head() {
    if (!base_.graph.config.tied_embeddings) return {};
    const TensorInfo* head = find("lm_head", ".weight");
    if (head == nullptr) head = find("lm_head", ".modules_to_save.weight");
    if (head == nullptr) return {};
    const Parameter* embedding = base_.graph.find(Role::kEmbedding, -1);
    const auto replaced = adapter_.replacements.find(embedding->name);
    QUANTLANE_TRY(const std::vector<float> values, tensors_.take(*head));
    if (replaced != adapter_.replacements.end() && replaced->second.values == values) {
      adapter_.notices.emplace_back(
          "lm_head equals the saved embedding, which the base ties it to");
      return {};
    }
    return fail(other_base(tensors_.origin(), head->name,
                           "no head of its own: the base ties it to the embedding",
                           "values that are not those of the embedding"));
  }

  // Every name in the configuration has reached something.
  Result<void> check_reached() const {
    if (adapter_.deltas.empty() && adapter_.replacements.empty() && adapter_.rows.empty()) {
      return fail(
          other_base(tensors_.origin(), "", "at least one parameter of " + base_.path, "none"));
    }
    for (const std::string& name : config_.modules_to_save) {
      const bool found = std::ranges::any_of(adapter_.replacements, [&](const auto& entry) {
        return entry.first == name || entry.first.find(name + ".") != std::string::npos;
      });
      const bool tied = name == "lm_head" && base_.graph.config.tied_embeddings;
      if (found || tied) continue;
      return fail(contradiction(name, "the weights of a module in modules_to_save", "none"));
    }
    for (const Parameter& parameter : base_.graph.parameters) {
      const bool bias = parameter.name.ends_with(".bias");
      const bool wanted = config_.saves(parameter.name, false) ||
                          (bias && config_.biases == PeftConfig::Biases::kAll);
      if (!wanted || adapter_.replacements.contains(parameter.name)) continue;
      return fail(contradiction(parameter.name,
                                bias ? "every bias of the base (bias, modules_to_save)"
                                     : "the weights of a module in modules_to_save",
                                "none"));
    }
    return {};
  }

  // What the configuration names in vain, which PEFT ignores.
  void add_notices() {
    std::vector<std::string> names;
    for (const std::string& name : config_.targets) {
      const bool reaches = std::ranges::any_of(base_.graph.parameters, [&](const auto& parameter) {
        return takes_delta(parameter) &&
               config_.name_reaches(name, adapter_module(parameter), parameter.layer);
      });
      if (!reaches) names.push_back(name);
    }
    say_without_effect("target_modules", names, "no matrix of the base");
    say_without_effect("rank_pattern", unused(config_.rank_pattern, used_ranks_), kNoModule);
    say_without_effect("alpha_pattern", unused(config_.alpha_pattern, used_alphas_), kNoModule);
    for (const std::int64_t layer : config_.layers) {
      if (layer < base_.graph.config.layer_count) continue;
      adapter_.notices.push_back(fmt::format(
          "layers_to_transform: {} is beyond the {} layers of the base and has no effect, as in "
          "PEFT",
          layer, base_.graph.config.layer_count));
      break;
    }
    if (config_.biases != PeftConfig::Biases::kOfAdapted) return;
    const bool any = std::ranges::any_of(
        adapter_.replacements, [](const auto& entry) { return entry.first.ends_with(".bias"); });
    const bool has = std::ranges::any_of(base_.graph.parameters, [](const auto& parameter) {
      return parameter.name.ends_with(".bias");
    });
    if (any || !has) return;
    adapter_.notices.emplace_back(
        "bias is lora_only, but the adapter has no biases: those of the base stay");
  }

  template <class T>
  static std::vector<std::string> unused(const std::vector<std::pair<ModulePattern, T>>& patterns,
                                         const std::set<std::size_t>& used) {
    std::vector<std::string> names;
    for (std::size_t row = 0; row < patterns.size(); ++row) {
      if (!used.contains(row)) names.push_back(patterns[row].first.text());
    }
    return names;
  }

  void say_without_effect(std::string_view key, const std::vector<std::string>& names,
                          std::string_view what) {
    if (names.empty()) return;
    constexpr std::size_t kMost = 5;
    std::string list;
    for (std::size_t i = 0; i < std::min(names.size(), kMost); ++i) {
      list += fmt::format("{}\"{}\"", i == 0 ? "" : ", ", names[i]);
    }
    if (names.size() > kMost) list += fmt::format(" and {} more", names.size() - kMost);
    const bool one = names.size() == 1;
    adapter_.notices.push_back(fmt::format("{}: {} {} {} and {} no effect, as in PEFT", key, list,
                                           one ? "reaches" : "reach", what, one ? "has" : "have"));
  }

  static constexpr std::string_view kNoModule = "no adapted module before another pattern does";

  const PeftConfig& config_;
  AdapterTensors& tensors_;
  const AdapterBase& base_;
  Adapter& adapter_;
  std::set<std::size_t> used_ranks_;   // rows of rank_pattern
  std::set<std::size_t> used_alphas_;  // of alpha_pattern
};

Result<Adapter> read(const fs::path& path, const AdapterBase& base) {
  const std::string origin = (path / kConfig).string();
  QUANTLANE_TRY(const Json json, read_adapter_config(origin));
  QUANTLANE_TRY(PeftConfig config, PeftConfig::parse(json, origin));
  std::error_code code;
  if (!fs::exists(path / kWeights, code)) {
    return fail(unsupported("reading an adapter")
                    .in((path / "adapter_model.bin").string())
                    .expects(std::string(kWeights))
                    .got("a pickled file, which can run code")
                    .advise("save it again with safe_serialization=True"));
  }
  QUANTLANE_TRY(const auto container, open_container(path / kWeights));
  AdapterTensors tensors(*container, (path / kWeights).string());
  Adapter adapter{.path = path,
                  .format = "peft",
                  .made_for = config.made_for,
                  .deltas = {},
                  .replacements = {},
                  .rows = {},
                  .notices = std::move(config.notices)};
  QUANTLANE_TRY_VOID(Reader(config, tensors, base, adapter).run());
  return adapter;
}

}  // namespace

constinit const AdapterFormat kPeft = {.name = "peft", .recognises = recognises, .read = read};

}  // namespace quantlane
