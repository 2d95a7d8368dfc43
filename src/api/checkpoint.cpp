#include "quantlane/checkpoint.h"

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cmath>

#include "api/json_lists.h"
#include "api/stored_schemes.h"
#include "containers/tensor_damage.h"
#include "core/cancel.h"
#include "core/check.h"
#include "core/file.h"
#include "core/json.h"
#include "core/threads.h"
#include "model/checkpoint.h"
#include "model/tokenizer/tokenizer.h"
#include "quantize/pipeline.h"
#include "recommend/preflight.h"

namespace quantlane {
namespace {

constexpr std::size_t kShownCharacters = 60;

std::string shortened(std::string text) {
  std::ranges::replace(text, '\n', ' ');
  if (text.size() <= kShownCharacters) return text;
  std::size_t cut = kShownCharacters;
  while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xC0U) == 0x80U) --cut;
  return text.substr(0, cut) + "…";
}

template <class T>
std::string value_text(const T& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    return shortened(value);
  } else if constexpr (std::is_same_v<T, bool>) {
    return value ? "true" : "false";
  } else if constexpr (std::is_arithmetic_v<T>) {
    return Json(value).dump();
  } else {
    return "[" + std::to_string(value.size()) + " values]";
  }
}

std::vector<std::pair<std::string, std::string>> describe(const ModelConfig& config) {
  const auto number = [](std::int64_t value) { return std::to_string(value); };
  std::vector<std::pair<std::string, std::string>> rows = {
      {"layers", number(config.layer_count)},
      {"hidden size", number(config.hidden_size)},
      {"feed-forward size", number(config.intermediate_size)},
      {"attention heads", number(config.head_count)},
      {"key/value heads", number(config.kv_head_count)},
      {"head size", number(config.head_dim)},
      {"vocabulary", number(config.vocab_size)},
      {"context length", number(config.context_length)},
      {"rope theta", Json(config.rope_theta).dump()},
      {"tied embeddings", config.tied_embeddings ? "yes" : "no"}};
  if (const ExpertConfig& experts = config.experts; experts.count > 0) {
    rows.emplace_back("experts",
                      number(experts.count) + ", " + number(experts.per_token) + " per token");
    rows.emplace_back("feed-forward size of each", number(experts.intermediate_size));
    if (!experts.dense_layers.empty()) {
      rows.emplace_back("layers without experts",
                        number(static_cast<std::int64_t>(experts.dense_layers.size())));
    }
  }
  return rows;
}

// Of an unknown architecture: what config.json calls alike in most.
std::vector<std::pair<std::string, std::string>> describe(const ArtefactFacts& facts) {
  std::vector<std::pair<std::string, std::string>> rows;
  const auto value = [&](std::initializer_list<std::string_view> keys) -> std::string {
    for (const std::string_view key : keys) {
      const Json& found = facts.model_key(key);
      if (found.is_integer()) return std::to_string(found.integer());
    }
    return "";
  };
  const auto add = [&](const char* name, std::string text) {
    if (!text.empty()) rows.emplace_back(name, std::move(text));
  };
  add("model type", shortened(std::string(facts.model_key("model_type").string())));
  add("layers", value({"num_hidden_layers"}));
  add("hidden size", value({"hidden_size"}));
  const std::string experts = value({"num_local_experts", "num_experts", "n_routed_experts"});
  const std::string picked = value({"num_experts_per_tok", "experts_per_token"});
  if (!experts.empty() && experts != "0")
    add("experts", experts + (picked.empty() ? "" : ", " + picked + " per token"));
  return rows;
}

Result<std::vector<std::string>> verify_tensors(const Container& container, ThreadPool& pool,
                                                Progress& progress) {
  const auto tensors = container.tensors();
  std::uint64_t total = 0;
  for (const TensorInfo& tensor : tensors) total += tensor.size_bytes;
  std::vector<std::string> damage(tensors.size());
  std::atomic<std::uint64_t> done{0};
  progress.begin("verify", total, "B");
  pool.parallel_for(static_cast<std::int64_t>(tensors.size()), [&](std::int64_t i, int worker) {
    if (cancel_requested()) return;
    const TensorInfo& tensor = tensors[static_cast<std::size_t>(i)];
    damage[static_cast<std::size_t>(i)] = find_damage(container, tensor);
    container.drop(tensor);
    done += tensor.size_bytes;
    if (worker == 0) progress.update(done.load());
  });
  progress.end();
  QUANTLANE_TRY_VOID(check_cancel("verifying tensors"));
  std::vector<std::string> problems;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (damage[i].empty()) continue;
    problems.push_back(tensors[i].name + " at offset " + std::to_string(tensors[i].offset) + ": " +
                       damage[i]);
  }
  return problems;
}

std::string describe_tokenizer(const Checkpoint& checkpoint, std::vector<std::string>& problems) {
  const auto tokenizer = checkpoint.tokenizer();
  if (!tokenizer) {
    problems.push_back("tokenizer: " + tokenizer.error().message());
    return "unusable";
  }
  const TokenizerSpec& spec = (*tokenizer)->spec();
  return spec.model + (spec.pre_tokenizer.empty() ? "" : " / " + spec.pre_tokenizer) + ", " +
         std::to_string(spec.tokens.size()) + " tokens" +
         (spec.chat_template.empty() ? "" : ", chat template");
}

}  // namespace

Result<InspectResult> inspect_checkpoint(const InspectOptions& options, Progress& progress) {
  QUANTLANE_TRY(const auto checkpoint, Checkpoint::open_any(options.checkpoint));
  const Container& container = checkpoint->container();
  // A safetensors file without a folder has neither configuration nor tokenizer.
  const bool lone = checkpoint->config_json().is_null() && container.kind() != "gguf";
  InspectResult result;
  result.path = options.checkpoint;
  result.container = container.kind();
  result.dialect = checkpoint->dialect() != nullptr ? std::string(checkpoint->dialect()->name)
                   : container.kind() == "gguf"     ? "gguf"
                                                    : "plain";
  result.parameters = checkpoint->parameter_count();
  result.size_bytes = checkpoint->size_bytes();
  result.bits_per_weight = stored_bits_per_weight(*checkpoint);
  if (checkpoint->architecture() != nullptr) result.architecture = checkpoint->architecture()->name;
  if (const Graph* graph = checkpoint->graph()) {
    result.configuration = describe(graph->config);
  } else if (!lone) {
    result.problems.push_back("unknown architecture; supported: " + supported_architectures());
  }
  for (const auto& [key, value] : container.metadata().entries()) {
    result.metadata.emplace_back(key,
                                 std::visit([](const auto& v) { return value_text(v); }, value));
  }
  for (const TensorInfo& tensor : container.tensors()) {
    result.tensors.push_back({.name = tensor.name,
                              .type = std::string(tensor.type.name()),
                              .shape = tensor.shape,
                              .size_bytes = tensor.size_bytes});
  }
  result.tokenizer = lone ? "none" : describe_tokenizer(*checkpoint, result.problems);
  if (!lone && container.kind() != "gguf") {
    QUANTLANE_TRY(const ArtefactFacts facts,
                  read_artefact_facts(options.checkpoint, options.verify));
    for (const PreflightFinding& finding : find_contradictions(facts))
      result.problems.push_back(finding.text + ": " + finding.detail);
    result.schemes = stored_schemes(*checkpoint, facts);
    if (checkpoint->graph() == nullptr) result.configuration = describe(facts);
  }
  if (options.verify) {
    ThreadPool pool(options.threads);
    QUANTLANE_TRY(const auto damage, verify_tensors(container, pool, progress));
    result.problems.insert(result.problems.end(), damage.begin(), damage.end());
    QUANTLANE_TRY(const auto weights,
                  find_unusable_weights(*checkpoint, result.problems, pool, progress));
    result.problems.insert(result.problems.end(), weights.begin(), weights.end());
    const auto kv = find_kv_problems(*checkpoint, result.problems);
    result.problems.insert(result.problems.end(), kv.begin(), kv.end());
  }
  return result;
}

namespace {

Json to_json_value(const StoredSchemes& schemes) {
  if (schemes.weights.empty()) return {};
  const auto counts = [](const std::vector<SchemeCount>& rows) {
    Json array = Json::array();
    for (const SchemeCount& row : rows)
      array.push(Json::object({{"scheme", row.scheme}, {"linears", row.linears}}));
    return array;
  };
  return Json::object({{"weights", counts(schemes.weights)},
                       {"inputs", counts(schemes.inputs)},
                       {"kv_cache", schemes.kv_cache}});
}

}  // namespace

std::string to_json(const InspectResult& result) {
  const auto pairs = [](const auto& list) {
    Json object = Json(Json::Object{});
    for (const auto& [key, value] : list) object.set(key, value);
    return object;
  };
  return Json::object({{"path", result.path.string()},
                       {"container", result.container},
                       {"architecture", result.architecture},
                       {"dialect", result.dialect},
                       {"parameters", result.parameters},
                       {"size_bytes", result.size_bytes},
                       {"bits_per_weight", result.bits_per_weight},
                       {"schemes", to_json_value(result.schemes)},
                       {"configuration", pairs(result.configuration)},
                       {"metadata", pairs(result.metadata)},
                       {"tokenizer", result.tokenizer},
                       {"problems", json_of(result.problems)},
                       {"tensors", json_of(result.tensors)}})
      .dump(2);
}

Result<std::vector<std::int32_t>> tokenize_file(const fs::path& checkpoint, const fs::path& file,
                                                bool parse_special) {
  QUANTLANE_TRY(const auto opened, Checkpoint::open_vocabulary(checkpoint));
  QUANTLANE_TRY(const auto tokenizer, opened->tokenizer());
  QUANTLANE_TRY(const std::string text, read_text(file));
  QUANTLANE_TRY_VOID(check_utf8(text, file.string()));
  return tokenizer->encode(text, parse_special);
}

Result<std::string> to_json_text(std::string_view text) {
  QUANTLANE_TRY_VOID(check_utf8(text, "the decoded text"));
  return Json(text).dump();
}

Result<std::string> detokenize_file(const fs::path& checkpoint, const fs::path& file) {
  QUANTLANE_TRY(const auto opened, Checkpoint::open_vocabulary(checkpoint));
  QUANTLANE_TRY(const auto tokenizer, opened->tokenizer());
  QUANTLANE_TRY(const std::string text, read_text(file));
  std::vector<std::int32_t> ids;
  const auto size = static_cast<std::int32_t>(tokenizer->spec().tokens.size());
  for (std::size_t i = text.find_first_not_of(" \n\r\t,"); i < text.size();
       i = text.find_first_not_of(" \n\r\t,", i)) {
    std::int32_t id = -1;
    const auto [end, code] = std::from_chars(text.data() + i, text.data() + text.size(), id);
    if (code != std::errc() || id < 0 || id >= size) {
      return fail(corrupt("reading token ids")
                      .in(file.string())
                      .at(i)
                      .expects("ids between 0 and " + std::to_string(size - 1))
                      .got(text.substr(i, 12)));
    }
    ids.push_back(id);
    i = static_cast<std::size_t>(end - text.data());
  }
  return tokenizer->decode_text(ids);
}

}  // namespace quantlane
