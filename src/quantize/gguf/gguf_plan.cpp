#include "quantize/gguf/gguf_plan.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "containers/gguf_split.h"
#include "core/check.h"
#include "model/gguf_factors.h"
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
          .experts = config.experts.count};
}

// What recipes give types to beside norms and biases.
bool takes_type(Role role) { return is_linear(role) || role == Role::kEmbedding; }

std::string fallback_notice(const TypeChoice& choice, std::int64_t cols) {
  return std::string(choice.wanted.name()) + " -> " + std::string(choice.type.name()) + ": " +
         std::to_string(cols) + " columns are no multiple of " +
         std::to_string(choice.wanted.block->block_values);
}

Error cannot_write(const QuantizeJob& job, const RecipeTensor& tensor, const TypeChoice& choice) {
  return unsupported("quantizing to " + job.lane.name)
      .of(tensor.name)
      .expects("a type that this version can write")
      .got(std::string(choice.type.name()) + ", which it can only read");
}

// llama.cpp refuses these types without an importance matrix: their codes are poor then.
Error lacks_importance(const QuantizeJob& job, const RecipeTensor& tensor,
                       const TypeChoice& choice) {
  const bool from_file = !job.origin.file.empty();
  return invalid("quantizing to " + job.lane.name)
      .in(job.origin.file)
      .of(tensor.name)
      .expects("importances of its inputs: " + std::string(choice.type.name()) +
               " is too coarse to treat all input columns alike")
      .got("none")
      .advise(std::string(from_file ? "collect a matrix of this model (quantlane imatrix)"
                                    : "quantize without --data-free or with --imatrix") +
              ", choose a lane of more bits, or add --force-unweighted");
}

std::string unweighted_notice(std::int64_t count) {
  return std::to_string(count) +
         " tensors are in types that need importances and have none (forced)";
}

void set_origin(const ImportanceOrigin& origin, Metadata& metadata) {
  const std::string prefix = "quantize.imatrix.";
  for (const char* key : {"file", "dataset", "entries_count", "chunks_count"})
    metadata.erase(prefix + key);
  if (!origin.file.empty()) metadata.set(prefix + "file", origin.file);
  if (!origin.dataset.empty()) metadata.set(prefix + "dataset", origin.dataset);
  const auto count = [&](const char* key, std::int64_t value) {
    if (value > 0) metadata.set(prefix + key, static_cast<std::uint32_t>(value));
  };
  count("entries_count", origin.entries);
  count("chunks_count", origin.chunks);
}

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
  const Algorithm* algorithm = algorithm_by_name(job.lane.algorithm);
  if (algorithm != nullptr && algorithm->wants_statistics) set_origin(job.origin, metadata);
  if (from_gguf) return metadata;
  source.architecture()->to_gguf(source.graph()->config, metadata);
  const auto tokenizer = source.tokenizer();
  if (!tokenizer) {
    Error error = tokenizer.error();
    error.hint += (error.hint.empty() ? "" : ": ") + std::string("a GGUF file holds its tokenizer");
    return fail(std::move(error));
  }
  QUANTLANE_TRY_VOID(write_tokenizer_gguf((*tokenizer)->spec(), metadata));
  return metadata;
}

// One for all parameters of a tensor: codes are kept where those of each can be.
Transfer transfer_of(const Checkpoint& source, const std::vector<const Parameter*>& parameters,
                     const ElementType& type) {
  const Transfer first = transfer_to(source, *parameters.front(), type);
  const bool alike = std::ranges::all_of(
      parameters, [&](const Parameter* p) { return transfer_to(source, *p, type) == first; });
  if (alike || type.block == nullptr) return first;
  return Transfer::kRequantize;
}

// Names, shapes and types; the recipe counts tensors in the order of layers.
Result<void> plan_tensors(const QuantizeJob& job, GgufPlan& plan) {
  std::vector<GgufTensor> stored = gguf_tensors(*job.source.graph());
  std::vector<RecipeTensor> tensors;
  for (const GgufTensor& tensor : stored) {
    tensors.push_back(
        {.name = tensor.name, .layer = tensor.parameters.front()->layer, .shape = tensor.shape});
  }
  RecipeRequest request = job.request;
  request.importance = request.importance || job.statistics != nullptr;
  QUANTLANE_TRY(const auto choices,
                assign_types(*job.lane.recipe, recipe_model(job.source), tensors, request));
  const Algorithm* algorithm = algorithm_by_name(job.lane.algorithm);
  // Sizes for a run whose importances are still to be collected.
  const bool planned_only = job.request.importance && job.statistics == nullptr;
  std::int64_t unweighted = 0;
  std::map<std::string, std::int64_t> fallbacks;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (!can_write(choices[i].type)) return fail(cannot_write(job, tensors[i], choices[i]));
    GgufPlan::Item item{.parameters = std::move(stored[i].parameters), .tensor = {}};
    item.transfer = transfer_of(job.source, item.parameters, choices[i].type);
    const bool keeps_codes = item.transfer == Transfer::kCopy || item.transfer == Transfer::kMove;
    const auto has_importance = [&](const Parameter* p) {
      return !importance_for(job, algorithm, p->module(), p->cols).empty();
    };
    if (choices[i].needs_importance && !planned_only && !keeps_codes &&
        !std::ranges::all_of(item.parameters, has_importance)) {
      if (!job.force_unweighted) return fail(lacks_importance(job, tensors[i], choices[i]));
      ++unweighted;
    }
    if (choices[i].type != choices[i].wanted) {
      ++fallbacks[fallback_notice(choices[i], tensors[i].shape.back())];
    }
    item.tensor = {.name = std::move(tensors[i].name),
                   .type = choices[i].type,
                   .shape = std::move(tensors[i].shape)};
    plan.items.push_back(std::move(item));
  }
  for (const auto& [notice, count] : fallbacks) {
    plan.notices.push_back(notice + " (" + std::to_string(count) + " tensors)");
  }
  if (unweighted > 0) plan.notices.push_back(unweighted_notice(unweighted));
  return {};
}

// The types that take the matrices as the source holds them.
Result<void> plan_as_stored(const QuantizeJob& job, GgufPlan& plan) {
  const Graph& graph = *job.source.graph();
  for (GgufTensor& tensor : gguf_tensors(graph)) {
    const Parameter& p = *tensor.parameters.front();
    const auto type = takes_type(p.role) ? type_as_stored(job.source, p) : ElementType{};
    if (!type) {
      return fail(unsupported("converting to GGUF")
                      .in(job.source.path().string())
                      .of(p.name)
                      .expects("codes that a GGUF type can hold: integers in groups of a multiple "
                               "of 32, MXFP4, NVFP4, or blocks")
                      .got(stored_encoding(job.source, p))
                      .advise("convert to bf16 or f32, or quantize with --allow-requantize"));
    }
    const Transfer transfer = transfer_of(job.source, tensor.parameters, *type);
    plan.items.push_back({.parameters = std::move(tensor.parameters),
                          .tensor = {.name = std::move(tensor.name),
                                     .type = *type,
                                     .shape = std::move(tensor.shape)},
                          .transfer = transfer});
  }
  return {};
}

// Behind each tensor the factors that its blocks have no room for.
void add_factors(const Checkpoint& source, GgufPlan& plan) {
  std::vector<GgufPlan::Item> items;
  for (GgufPlan::Item& item : plan.items) {
    GgufPlan::Item factors;
    if (std::ranges::any_of(item.parameters, [&](const Parameter* p) {
          return keeps_factor(source, *p, item.transfer) ||
                 gets_factor(*p, item.transfer, item.tensor.type);
        })) {
      factors.factors_of = item.parameters;
      factors.tensor = {.name = factor_name(item.tensor.name),
                        .type = {.plain = DType::kF32},
                        .shape = {static_cast<std::int64_t>(item.parameters.size())}};
    }
    items.push_back(std::move(item));
    if (!factors.factors_of.empty()) items.push_back(std::move(factors));
  }
  plan.items = std::move(items);
}

Result<void> check_transfers(const QuantizeJob& job, const GgufPlan& plan) {
  if (job.allow_requantize) return {};
  std::vector<PlannedTransfer> transfers;
  for (const GgufPlan::Item& item : plan.items) {
    for (const Parameter* p : item.parameters) {
      if (!takes_type(p->role)) continue;
      transfers.push_back({.parameter = p,
                           .target = std::string(item.tensor.type.name()),
                           .transfer = item.transfer});
    }
  }
  return refuse_requantizing(job.source, attempt_of(job), job.converts, transfers);
}

// Engines of the source round activations; those of GGUF have their own ways.
void note_input_rounding(const QuantizeJob& job, GgufPlan& plan) {
  if (job.source.quantization() == nullptr) return;
  for (const Parameter& p : job.source.graph()->parameters) {
    const auto scheme =
        is_linear(p.role) ? job.source.quantization()->scheme_of(p.module()) : std::nullopt;
    if (!scheme || !scheme->input) continue;
    plan.notices.emplace_back(
        "the source also rounds the inputs of its matrices; GGUF cannot say so");
    return;
  }
}

// Only some architectures of llama.cpp know windows of attention.
void note_lost_windows(const ModelConfig& config, GgufPlan& plan) {
  const auto largest = std::ranges::max_element(config.window_of_layer);
  if (largest == config.window_of_layer.end() || *largest == 0) return;
  const auto is_window = [](const Metadata::Entry& entry) {
    return entry.first.ends_with(".attention.sliding_window");
  };
  if (std::ranges::any_of(plan.metadata.entries(), is_window)) return;
  plan.notices.push_back(fmt::format(
      "the sliding window of {} tokens is lost, as llama.cpp has none for this architecture: it "
      "attends to all tokens, which is the same only up to that many",
      *largest));
}

// The source's file that holds the item, or what became of it in a quantized folder.
std::uint32_t source_shard(const Checkpoint& source, const GgufPlan::Item& item) {
  const auto& parameters = item.parameters.empty() ? item.factors_of : item.parameters;
  const TensorInfo* stored = parameters.empty() ? source.container().find(item.tensor.name)
                                                : source.stored(*parameters.front()).tensor;
  if (stored != nullptr) return stored->shard;
  if (parameters.empty()) return 0;
  const std::string prefix = std::string(parameters.front()->module()) + ".";
  for (const TensorInfo& tensor : source.container().tensors()) {
    if (tensor.name.starts_with(prefix)) return tensor.shard;
  }
  return 0;
}

void keep_split(const QuantizeJob& job, GgufPlan& plan) {
  std::map<std::uint32_t, std::vector<GgufPlan::Item>> by_shard;
  for (GgufPlan::Item& item : plan.items) {
    by_shard[source_shard(job.source, item)].push_back(std::move(item));
  }
  plan.items.clear();
  std::uint32_t number = 0;
  for (auto& [shard, items] : by_shard) {
    plan.shard_of.insert(plan.shard_of.end(), items.size(), number++);
    std::ranges::move(items, std::back_inserter(plan.items));
  }
  if (number == 1)
    plan.notices.emplace_back("the source is one file, so there is no split to keep");
}

void split_by_size(const QuantizeJob& job, GgufPlan& plan) {
  const std::uint64_t limit = job.split.max_bytes;
  plan.shard_of = gguf_shards_by_size(plan.tensors(), plan.metadata, limit);
  for (const GgufPlan::Item& item : plan.items) {
    const std::uint64_t size = item.tensor.size_bytes();
    if (size > limit) {
      plan.notices.push_back(item.tensor.name + " alone has " + std::to_string(size) +
                             " bytes, more than the " + std::to_string(limit) + " of one file");
    }
  }
}

}  // namespace

std::vector<PlannedTensor> GgufPlan::tensors() const {
  std::vector<PlannedTensor> tensors;
  for (const Item& item : items) tensors.push_back(item.tensor);
  return tensors;
}

Result<GgufPlan> plan_gguf(const QuantizeJob& job) {
  GgufPlan plan;
  plan.rope_divisors = rope_frequency_divisors(job.source.graph()->config);
  if (!plan.rope_divisors.empty()) {
    plan.items.push_back(
        {.parameters = {},
         .tensor = {.name = std::string(kRopeFrequencies),
                    .type = {.plain = DType::kF32},
                    .shape = {static_cast<std::int64_t>(plan.rope_divisors.size())}}});
  }
  QUANTLANE_TRY_VOID(job.as_stored ? plan_as_stored(job, plan) : plan_tensors(job, plan));
  QUANTLANE_TRY_VOID(check_transfers(job, plan));
  add_factors(job.source, plan);
  note_input_rounding(job, plan);
  if (const auto caveat = job.source.architecture()->gguf_caveat) {
    if (std::string text = caveat(job.source.graph()->config); !text.empty())
      plan.notices.push_back(std::move(text));
  }
  QUANTLANE_TRY(plan.metadata, gguf_metadata(job));
  note_lost_windows(job.source.graph()->config, plan);
  if (job.split.keep) keep_split(job, plan);
  if (job.split.max_bytes > 0) split_by_size(job, plan);
  if (plan.files() == 1) plan.shard_of.clear();
  return plan;
}

ArtefactPlan artefact_of(const GgufPlan& plan) {
  ArtefactPlan artefact{.tensors = plan.tensors(),
                        .values = 0,
                        .files = plan.files(),
                        .config = {},
                        .notices = plan.notices,
                        .matrices = {}};
  for (const GgufPlan::Item& item : plan.items) {
    for (const Parameter* p : item.parameters) {
      artefact.values += static_cast<std::uint64_t>(p->rows * p->cols);
      if (item.tensor.type.block != nullptr)
        artefact.matrices[p->name] = {.block = item.tensor.type.block};
    }
  }
  return artefact;
}

}  // namespace quantlane
