// Tensors are named module + ".token_adapter.trainable_tokens_delta" [tokens, D]: the rows as they
// are to be, in spite of the name. A head that is tied to the embedding has none of its own.
// Source: peft/tuners/trainable_tokens/layer.py and utils/other.py of PEFT.
#include "model/adapters/peft_tokens.h"

#include <algorithm>

#include "core/check.h"

namespace quantlane {
namespace {

bool ends_a_name(std::string_view module, std::string_view name) {
  return module == name || module.ends_with("." + std::string(name));
}

const Parameter* find_matrix(const Graph& graph, const std::string& name) {
  const auto found = std::ranges::find_if(graph.parameters, [&](const Parameter& parameter) {
    return takes_delta(parameter) && ends_a_name(adapter_module(parameter), name);
  });
  return found == graph.parameters.end() ? nullptr : &*found;
}

// Is it the head of a base that ties it, with the same tokens as the embedding?
bool follows_embedding(const PeftConfig& config, const Graph& graph, const std::string& name,
                       const std::vector<std::int64_t>& rows) {
  const std::string embedding = adapter_module(*graph.find(Role::kEmbedding, -1));
  return graph.config.tied_embeddings && name == "lm_head" &&
         std::ranges::any_of(config.tokens, [&](const auto& entry) {
           return ends_a_name(embedding, entry.first) && entry.second == rows;
         });
}

Result<void> read_rows(const Parameter& parameter, const std::vector<std::int64_t>& rows,
                       AdapterTensors& tensors, const AdapterBase& base, Adapter& adapter) {
  const std::string module = adapter_module(parameter);
  const std::string own = module + ".token_adapter.trainable_tokens_delta";
  const TensorInfo* tensor = tensors.find(kPeftPrefixes, own);
  const std::vector<std::int64_t> shape = {std::ssize(rows), parameter.cols};
  if (tensor == nullptr || tensor->shape != shape) {
    return fail(corrupt("reading an adapter")
                    .in(tensors.origin())
                    .of(own)
                    .expects(shape_text(shape) + " (trainable_token_indices)")
                    .got(tensor == nullptr ? "no such tensor" : shape_text(tensor->shape)));
  }
  if (const auto beyond = std::ranges::find_if(rows, [&](auto r) { return r >= parameter.rows; });
      beyond != rows.end()) {
    return fail(other_base(tensors.origin(), tensor->name,
                           "tokens below " + std::to_string(parameter.rows) + " for " + base.path,
                           std::to_string(*beyond)));
  }
  if (adapter.deltas.contains(parameter.name)) {
    return fail(unsupported("merging an adapter")
                    .in(tensors.origin())
                    .of(tensor->name)
                    .expects("trained tokens or a low-rank product of a matrix")
                    .got("both of " + module));
  }
  QUANTLANE_TRY(std::vector<float> values, tensors.take(*tensor));
  adapter.rows.emplace(
      parameter.name,
      AdapterRows{.rows = rows, .values = std::move(values), .tensor = tensor->name});
  return {};
}

}  // namespace

Result<void> read_peft_tokens(const PeftConfig& config, AdapterTensors& tensors,
                              const AdapterBase& base, Adapter& adapter) {
  for (const auto& [name, rows] : config.tokens) {
    const Parameter* parameter = find_matrix(base.graph, name);
    if (parameter != nullptr) {
      QUANTLANE_TRY_VOID(read_rows(*parameter, rows, tensors, base, adapter));
      continue;
    }
    if (follows_embedding(config, base.graph, name, rows)) continue;
    return fail(other_base(config.origin, "trainable_token_indices",
                           "matrices of " + base.path + " (a tied head has the embedding's tokens)",
                           name));
  }
  return {};
}

}  // namespace quantlane
