#include "quantize/gguf_plan.h"

#include <map>
#include <utility>

#include "core/check.h"
#include "model/tokenizer/tokenizer.h"

namespace quantlane {
namespace {

// GGUF has no rope scaling keys for Llama 3: the divisors are a tensor.
constexpr std::string_view kRopeFrequencies = "rope_freqs.weight";

RecipeModel recipe_model(const Checkpoint& source) {
  const ModelConfig& config = source.graph()->config;
  return {.architecture = std::string(source.architecture()->gguf_name),
          .layers = config.layer_count,
          .heads = config.head_count,
          .kv_heads = config.kv_head_count,
          .experts = 0};
}

std::vector<std::int64_t> gguf_shape(const Parameter& p) {
  const bool vector = p.rows == 1 && !is_linear(p.role);
  return vector ? std::vector<std::int64_t>{p.cols} : std::vector<std::int64_t>{p.rows, p.cols};
}

std::string fallback_notice(const TypeChoice& choice, std::int64_t cols) {
  return std::string(choice.wanted.name()) + " -> " + std::string(choice.type.name()) + ": " +
         std::to_string(cols) + " columns are no multiple of " +
         std::to_string(choice.wanted.block->block_values);
}

// llama.cpp refuses these types without an importance matrix: their codes are poor then.
Error lacks_importance(const QuantizeJob& job, const RecipeTensor& tensor,
                       const TypeChoice& choice) {
  return invalid("quantizing to " + job.lane.name)
      .of(tensor.name)
      .expects("activation statistics: " + std::string(choice.type.name()) +
               " is too coarse to treat all input columns alike")
      .got("none")
      .advise("quantize without --data-free, or choose a lane of more bits");
}

}  // namespace

Result<Metadata> gguf_metadata(const QuantizeJob& job) {
  const Checkpoint& source = job.source;
  const bool from_gguf = source.config_json().is_null();
  Metadata metadata = from_gguf ? source.container().metadata() : Metadata{};
  for (const char* key : {"split.no", "split.count", "split.tensors.count"}) metadata.erase(key);
  metadata.set("general.architecture", std::string(source.architecture()->gguf_name));
  metadata.set("general.type", std::string("model"));
  if (metadata.find("general.name") == nullptr) {
    metadata.set("general.name", std::filesystem::weakly_canonical(source.path()).stem().string());
  }
  metadata.set("general.file_type", static_cast<std::uint32_t>(job.lane.recipe->file_type));
  metadata.set("general.quantization_version", std::uint32_t{2});
  if (from_gguf) return metadata;
  source.architecture()->to_gguf(source.graph()->config, metadata);
  QUANTLANE_TRY(const auto tokenizer, source.tokenizer());
  QUANTLANE_TRY_VOID(write_tokenizer_gguf(tokenizer->spec(), metadata));
  return metadata;
}

Result<GgufPlan> plan_gguf(const QuantizeJob& job) {
  const Graph& graph = *job.source.graph();
  std::vector<RecipeTensor> tensors;
  for (const Parameter& p : graph.parameters) {
    tensors.push_back({.name = gguf_name(p.role, p.layer, graph.config),
                       .layer = p.layer,
                       .shape = gguf_shape(p)});
  }
  RecipeRequest request = job.request;
  request.importance = request.importance || job.statistics != nullptr;
  QUANTLANE_TRY(const auto choices,
                assign_types(*job.lane.recipe, recipe_model(job.source), tensors, request));
  GgufPlan plan;
  plan.rope_divisors = rope_frequency_divisors(graph.config);
  if (!plan.rope_divisors.empty()) {
    plan.items.push_back(
        {.parameter = nullptr,
         .tensor = {.name = std::string(kRopeFrequencies),
                    .type = {.plain = DType::kF32},
                    .shape = {static_cast<std::int64_t>(plan.rope_divisors.size())}}});
  }
  std::map<std::string, std::int64_t> fallbacks;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (!can_write(choices[i].type)) {
      return fail(unsupported("quantizing to " + job.lane.name)
                      .of(tensors[i].name)
                      .expects("a type that this version can write")
                      .got(std::string(choices[i].type.name()) + ", which it can only read"));
    }
    if (choices[i].needs_importance && !request.importance) {
      return fail(lacks_importance(job, tensors[i], choices[i]));
    }
    if (choices[i].type != choices[i].wanted) {
      ++fallbacks[fallback_notice(choices[i], tensors[i].shape.back())];
    }
    plan.items.push_back({.parameter = &graph.parameters[i],
                          .tensor = {.name = std::move(tensors[i].name),
                                     .type = choices[i].type,
                                     .shape = std::move(tensors[i].shape)}});
  }
  for (const auto& [notice, count] : fallbacks) {
    plan.notices.push_back(notice + " (" + std::to_string(count) + " tensors)");
  }
  return plan;
}

}  // namespace quantlane
