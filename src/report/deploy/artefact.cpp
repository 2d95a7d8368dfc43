// An opened checkpoint in the terms of the products that serve it.
#include <algorithm>
#include <map>

#include "core/check.h"
#include "model/tokenizer/tokenizer.h"
#include "report/deploy/deploy.h"

namespace quantlane {
namespace {

std::vector<std::string> most_frequent_first(const std::map<std::string, std::int64_t>& counts) {
  std::vector<std::pair<std::int64_t, std::string>> sorted;
  for (const auto& [name, count] : counts) sorted.emplace_back(-count, name);
  std::ranges::sort(sorted);
  std::vector<std::string> names;
  for (auto& [count, name] : sorted) names.push_back(std::move(name));
  return names;
}

std::string token_text(const TokenizerSpec& spec, std::int64_t id) {
  if (id < 0 || static_cast<std::size_t>(id) >= spec.tokens.size()) return "";
  return spec.tokens[static_cast<std::size_t>(id)];
}

void add_tokenizer(const TokenizerSpec& spec, Artefact& artefact) {
  artefact.chat_template = spec.chat_template;
  artefact.bos_text = token_text(spec, spec.bos_id);
  artefact.adds_bos = spec.add_bos && spec.bos_id >= 0;
  for (const std::int64_t id : spec.stop_ids) {
    std::string text = token_text(spec, id);
    if (!text.empty()) artefact.stop_texts.push_back(std::move(text));
  }
}

void add_configuration(const ModelConfig& config, Artefact& artefact) {
  artefact.context_length = config.context_length;
  artefact.kv_bytes_per_token =
      static_cast<std::uint64_t>(config.layer_count * config.kv_size()) * 2 * 2;
}

// Linears of a quantized folder that the map says are quantized.
void add_schemes(const Checkpoint& checkpoint, Artefact& artefact) {
  const QuantizationMap* map = checkpoint.quantization();
  if (map != nullptr) artefact.kv_scheme = map->kv_scheme;
  if (map == nullptr || checkpoint.graph() == nullptr) return;
  std::map<std::string, std::int64_t> counts;
  for (const Parameter& parameter : checkpoint.graph()->parameters) {
    if (!is_linear(parameter.role)) continue;
    const auto scheme = map->scheme_of(parameter.module());
    if (!scheme) continue;
    ++counts[scheme->weight.spelling()];
    if (std::ranges::find(artefact.schemes, *scheme) == artefact.schemes.end()) {
      artefact.schemes.push_back(*scheme);
    }
  }
  if (!counts.empty()) artefact.types = most_frequent_first(counts);
}

}  // namespace

Result<Artefact> describe_artefact(const Checkpoint& checkpoint) {
  const Container& container = checkpoint.container();
  Artefact artefact;
  artefact.path = std::filesystem::absolute(checkpoint.path()).lexically_normal();
  artefact.gguf = container.kind() == "gguf";
  if (artefact.gguf) artefact.path = std::filesystem::absolute(container.files().front());
  if (!artefact.path.has_filename()) artefact.path = artefact.path.parent_path();
  artefact.name = artefact.gguf ? artefact.path.stem().string() : artefact.path.filename().string();
  artefact.files = container.files().size();
  artefact.parameters = checkpoint.parameter_count();
  artefact.size_bytes = checkpoint.size_bytes();
  if (artefact.gguf) {
    const std::string* name = container.metadata().string("general.architecture");
    if (name != nullptr) artefact.architecture = *name;
  } else if (!checkpoint.config_json()["architectures"].items().empty()) {
    artefact.architecture = checkpoint.config_json()["architectures"].items()[0].string();
  }
  if (checkpoint.architecture() != nullptr) artefact.family = checkpoint.architecture()->name;
  std::map<std::string, std::int64_t> types;
  for (const TensorInfo& tensor : container.tensors()) {
    if (tensor.shape.size() > 1) ++types[std::string(tensor.type.name())];
  }
  artefact.types = most_frequent_first(types);
  if (checkpoint.dialect() != nullptr) artefact.dialect = checkpoint.dialect()->name;
  if (checkpoint.graph() != nullptr) {
    add_configuration(checkpoint.graph()->config, artefact);
  } else {
    artefact.context_length = checkpoint.config_json()["max_position_embeddings"].integer();
  }
  add_schemes(checkpoint, artefact);
  QUANTLANE_TRY(const auto tokenizer, checkpoint.tokenizer());
  add_tokenizer(tokenizer->spec(), artefact);
  return artefact;
}

}  // namespace quantlane
