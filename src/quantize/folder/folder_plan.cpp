#include "quantize/folder/folder_plan.h"

#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "core/check.h"
#include "quantize/folder/folder_schemes.h"
#include "quantize/folder/folder_shards.h"
#include "quantize/folder/kept_codes.h"
#include "quantize/folder/kv_tensors.h"
#include "quantize/folder/plain_parts.h"

namespace quantlane {
namespace {

// A matrix that llm-compressor's "Linear" targets would reach, judged by its name alone (but see
// plain_parts.h). Routers
// and shared experts, which every token passes, stay as they are; kv_b_proj of latent attention,
// too, which TensorRT-LLM never takes quantized.
bool looks_like_linear(const TensorInfo& tensor) {
  if (tensor.shape.size() != 2 || !tensor.name.ends_with(".weight") || !is_float(tensor.type.plain))
    return false;
  for (const std::string_view kept : {"embed", "lm_head", "norm", "wte", "wpe", "router",
                                      ".gate.weight", "shared_expert", "kv_b_proj"}) {
    if (tensor.name.find(kept) != std::string::npos) return false;
  }
  return true;
}

// Experts that share a tensor: which rows and columns are whose is not known by the name, and
// engines would not find them quantized.
Result<void> check_stacked(const QuantizeJob& job, const TensorInfo& tensor) {
  const bool stacked = tensor.shape.size() == 3 && is_float(tensor.type.plain) &&
                       tensor.name.find(".experts.") != std::string::npos;
  if (job.lane.dialect == nullptr || job.source.graph() != nullptr || !stacked) return {};
  return fail(unsupported("quantizing to " + job.lane.name)
                  .in(job.source.path().string())
                  .of(tensor.name)
                  .expects("a matrix for each expert, where the architecture is not known")
                  .got(fmt::format("{} experts in one tensor", tensor.shape[0]))
                  .advise("save it in the older layout (transformers: save_original_format)"));
}

// What each stored tensor of a plain folder holds.
std::map<const TensorInfo*, std::vector<const Parameter*>> parameters_of_tensors(
    const Checkpoint& source) {
  std::map<const TensorInfo*, std::vector<const Parameter*>> held;
  if (source.graph() == nullptr) return held;
  for (const Parameter& p : source.graph()->parameters) held[source.stored(p).tensor].push_back(&p);
  return held;
}

// Linears of the blocks are quantized; the head is not (every engine expects it so), nor is the
// router. Experts that share a tensor become Linears of their own: engines read them so.
Result<void> add_linears(const QuantizeJob& job, const TensorInfo& tensor,
                         const std::vector<const Parameter*>& held,
                         std::vector<FolderItem>& items) {
  for (const Parameter* p : held) {
    FolderItem item{.name = p->name,
                    .parameter = p,
                    .shard = tensor.shard,
                    .weight = {},
                    .raw = &tensor,
                    .first_row = job.source.stored(*p).first_row,
                    .shape = {p->rows, p->cols},
                    .quantized = job.lane.dialect != nullptr && is_block_linear(p->role)};
    if (item.quantized || job.lane.plain || job.source.edited(*p)) {
      QUANTLANE_TRY(item.weight, job.source.weight(*p));
    }
    items.push_back(std::move(item));
  }
  return {};
}

bool any_edited(const Checkpoint& source, const std::vector<const Parameter*>& held) {
  return std::ranges::any_of(held, [&](const Parameter* p) { return source.edited(*p); });
}

// Source tensors as they are stored: a plain Hugging Face folder.
Result<std::vector<FolderItem>> items_of_tensors(const QuantizeJob& job) {
  const auto held = parameters_of_tensors(job.source);
  const Container& container = job.source.container();
  // Experts that share a tensor and are edited stand apart, in the older layout; the rest of the
  // model has its names, too.
  const bool splits = std::ranges::any_of(held, [&](const auto& row) {
    return row.second.size() > 1 && any_edited(job.source, row.second);
  });
  std::vector<FolderItem> items;
  for (const TensorInfo& tensor : container.tensors()) {
    // Without its layers a model has no place for the scheme, either (source_kv.h).
    if (job.source.quantization() != nullptr && names_kv_scale(tensor.name)) continue;
    const auto it = held.find(&tensor);
    if (job.lane.dialect != nullptr && it != held.end() && is_matrix(it->second.front()->role)) {
      QUANTLANE_TRY_VOID(add_linears(job, tensor, it->second, items));
      continue;
    }
    QUANTLANE_TRY_VOID(check_stacked(job, tensor));
    const bool renamed = splits && it != held.end() && it->second.size() == 1;
    FolderItem item{.name = renamed ? it->second.front()->name : tensor.name,
                    .shard = tensor.shard,
                    .weight = {},
                    .raw = &tensor,
                    .shape = tensor.shape};
    item.quantized =
        job.lane.dialect != nullptr && job.source.graph() == nullptr && looks_like_linear(tensor);
    const bool edited = it != held.end() && any_edited(job.source, it->second);
    if (edited && it->second.size() == 1) {
      QUANTLANE_TRY(item.weight, job.source.weight(*it->second.front()));
    } else if (edited || (splits && it != held.end() && it->second.size() > 1)) {
      QUANTLANE_TRY_VOID(add_linears(job, tensor, it->second, items));
      continue;
    } else if (item.quantized || (job.lane.plain && is_float(tensor.type.plain))) {
      item.weight = Weight(&container, &tensor);
    }
    items.push_back(std::move(item));
  }
  return items;
}

// Parameters of the graph, decoded: GGUF and quantized folders.
Result<std::vector<FolderItem>> items_of_parameters(const QuantizeJob& job) {
  std::vector<FolderItem> items;
  const Graph& graph = *job.source.graph();
  const SourceShards shards(job.source);
  for (const Parameter& p : graph.parameters) {
    FolderItem item{.name = p.name,
                    .parameter = &p,
                    .shard = shards.of(p),
                    .weight = {},
                    .raw = nullptr,
                    .shape = {}};
    QUANTLANE_TRY(item.weight, job.source.weight(p));
    item.shape = is_matrix(p.role) ? std::vector<std::int64_t>{p.rows, p.cols}
                                   : std::vector<std::int64_t>{p.cols};
    item.quantized = job.lane.dialect != nullptr && is_block_linear(p.role);
    const TensorInfo* stored = job.source.stored(p).tensor;
    if (job.source.quantization() != nullptr && stored != nullptr && is_float(stored->type.plain))
      item.plain = stored->type.plain;
    items.push_back(std::move(item));
  }
  return items;
}

Result<void> check_dialect(const QuantizeJob& job, const std::vector<FolderItem>& items) {
  bool any = false;
  for (const FolderItem& item : items) {
    if (!item.quantized) continue;
    any = true;
    if (const auto reason = job.lane.dialect->writer->cannot_hold(item.scheme, item.weight.rows(),
                                                                  item.weight.cols())) {
      return fail(unsupported("quantizing to " + job.lane.name)
                      .in(job.source.path().string())
                      .of(item.name)
                      .expects("matrices that " + std::string(job.lane.dialect->name) + " holds")
                      .got(*reason)
                      .advise("take a lane with a scale per channel (fp8, w8a8), or a GGUF lane"));
    }
  }
  if (!any) {
    return fail(invalid("quantizing to " + job.lane.name)
                    .in(job.source.path().string())
                    .expects("at least one Linear to quantize")
                    .got("none"));
  }
  return {};
}

// What config.json will say, as far as engines decide by it.
Json planned_config(const QuantizeJob& job, const FolderPlan& plan) {
  Json config = job.source.config_json();
  if (config.is_null())
    config = job.source.architecture()->to_hugging_face(job.source.graph()->config);
  config.erase("quantization_config");
  Json quantization = quantization_config(job, plan.items);
  if (!quantization.is_null()) config.set("quantization_config", std::move(quantization));
  return config;
}

}  // namespace

std::string module_of(const std::string& tensor_name) {
  constexpr std::string_view kSuffix = ".weight";
  return tensor_name.ends_with(kSuffix) ? tensor_name.substr(0, tensor_name.size() - kSuffix.size())
                                        : tensor_name;
}

std::uint64_t values_of(const FolderItem& item) {
  return static_cast<std::uint64_t>(item.weight.valid() ? item.weight.rows() * item.weight.cols()
                                                        : item.raw->element_count());
}

ElementType plain_type(const QuantizeJob& job, const FolderItem& item) {
  if (job.lane.plain) return {.plain = *job.lane.plain};
  return item.raw != nullptr ? item.raw->type : ElementType{.plain = item.plain};
}

std::vector<PlannedPart> planned_parts(const QuantizeJob& job, const FolderItem& item) {
  return job.lane.dialect->writer->plan(module_of(item.name), item.scheme, item.weight.rows(),
                                        item.weight.cols());
}

std::vector<PlannedTensor> planned_tensors(const QuantizeJob& job, const FolderItem& item) {
  if (item.quantized) {
    std::vector<PlannedTensor> tensors;
    for (PlannedPart& part : planned_parts(job, item)) {
      tensors.push_back(std::move(part.tensor));
    }
    return tensors;
  }
  return {{.name = item.name,
           .type = item.weight.valid() ? plain_type(job, item) : item.raw->type,
           .shape = item.shape}};
}

// config.json says rotary frequencies by parameters, GGUF by any divisors.
Result<void> check_rope(const Checkpoint& source) {
  const ModelConfig& config = source.graph()->config;
  const auto stretched =
      std::ranges::find_if(config.rope_divisors, [](float divisor) { return divisor != 1; });
  if (stretched == config.rope_divisors.end() ||
      config.rope_scaling.kind == RopeScaling::Kind::kLlama3) {
    return {};
  }
  return fail(
      unsupported("writing the RoPE scaling of a GGUF file as config.json")
          .in(source.path().string())
          .of("rope_freqs.weight")
          .expects("divisors of Llama 3 scaling (1, a ramp, the factor) and no other scaling")
          .got(fmt::format("{} at frequency {}, up to {}", *stretched,
                           stretched - config.rope_divisors.begin(),
                           std::ranges::max(config.rope_divisors)))
          .advise("start from the original folder, or write a gguf: lane, which keeps them"));
}

Result<FolderPlan> plan_folder(const QuantizeJob& job) {
  const bool known_parameters =
      job.source.quantization() != nullptr && job.source.graph() != nullptr;
  const bool stored_plain = !known_parameters && !job.source.config_json().is_null();
  if (job.source.config_json().is_null()) QUANTLANE_TRY_VOID(check_rope(job.source));
  FolderPlan choice;
  QUANTLANE_TRY(choice.items, stored_plain ? items_of_tensors(job) : items_of_parameters(job));
  if (job.lane.dialect != nullptr) {
    QUANTLANE_TRY_VOID(keep_plain_parts(job, choice.items, choice.notices));
    QUANTLANE_TRY_VOID(choose_schemes(job, choice.items, choice.notices));
    QUANTLANE_TRY_VOID(choose_moves(job, choice.items, choice.notices));
    fit_input_scales(job, choice.items, choice.notices);
    QUANTLANE_TRY_VOID(check_dialect(job, choice.items));
  }
  if (job.split.shard_bytes > 0) {
    QUANTLANE_TRY_VOID(cut_by_size(job, choice.items, choice.notices));
  } else {
    close_gaps(choice.items);
  }
  return choice;
}

namespace {

// The schemes of the Linears, the most frequent first, each with its modules.
std::vector<SchemeGroup> scheme_groups(const std::vector<FolderItem>& items) {
  std::vector<SchemeGroup> groups;
  for (const FolderItem& item : items) {
    if (!item.quantized) continue;
    auto group = std::ranges::find(groups, item.scheme, &SchemeGroup::scheme);
    if (group == groups.end())
      group = groups.insert(groups.end(), {.scheme = item.scheme, .modules = {}});
    group->modules.push_back(module_of(item.name));
  }
  std::ranges::stable_sort(groups, [](const SchemeGroup& a, const SchemeGroup& b) {
    return a.modules.size() > b.modules.size();
  });
  return groups;
}

}  // namespace

Json quantization_config(const QuantizeJob& job, const std::vector<FolderItem>& items) {
  const auto add_kv = [&](Json& config) {
    if (job.kv == nullptr) return;
    kv_writer(job.lane)->set_kv(config, *job.kv->scheme, job.source.graph()->config.head_dim);
  };
  if (job.lane.dialect == nullptr) {
    Json config = job.kv == nullptr ? Json() : kv_writer(job.lane)->write_groups({}, {});
    add_kv(config);
    return config;
  }
  std::vector<std::string> ignore;
  for (const FolderItem& item : items) {
    const bool matrix = item.shape.size() == 2 && item.name.ends_with(".weight");
    std::string module = module_of(item.name);
    // Of the other tables some are Linears to engines: "patch_embed.proj", "wte" of a tied head.
    if (matrix && !item.quantized && !module.ends_with("embed_tokens"))
      ignore.push_back(std::move(module));
  }
  // Tied models have no head tensor, but engines still ask whether "lm_head" is quantized.
  if (std::ranges::find(ignore, "lm_head") == ignore.end()) ignore.emplace_back("lm_head");
  const DialectWriter& writer = *job.lane.dialect->writer;
  const std::vector<SchemeGroup> groups = scheme_groups(items);
  Json config = groups.size() == 1 ? writer.write_config(groups[0].scheme, ignore)
                                   : writer.write_groups(groups, ignore);
  add_kv(config);
  return config;
}

ArtefactPlan artefact_of(const QuantizeJob& job, const FolderPlan& plan) {
  ArtefactPlan artefact;
  artefact.config = planned_config(job, plan);
  artefact.notices = plan.notices;
  for (const FolderItem& item : plan.items) {
    for (PlannedTensor& tensor : planned_tensors(job, item)) {
      artefact.tensors.push_back(std::move(tensor));
    }
    artefact.values += values_of(item);
    if (item.quantized) artefact.matrices[item.name] = {.scheme = item.scheme};
    artefact.files = std::max<std::size_t>(artefact.files, item.shard + std::size_t{1});
  }
  for (PlannedTensor& tensor : planned_kv_tensors(job)) {
    artefact.tensors.push_back(std::move(tensor));
  }
  return artefact;
}

}  // namespace quantlane
