// A checkpoint with edits: the same files under changed weights.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/check.h"
#include "core/hash.h"
#include "model/checkpoint_cache.h"

namespace quantlane {
namespace {

Error unfit(const Checkpoint& checkpoint, const std::string& name) {
  return invalid("editing the weights of a model").in(checkpoint.path().string()).of(name);
}

}  // namespace

Result<std::shared_ptr<const Checkpoint>> Checkpoint::with_edits(WeightEdits edits) const {
  auto result = std::shared_ptr<Checkpoint>(new Checkpoint());
  result->path_ = path_;
  result->container_ = container_;
  result->config_json_ = config_json_;
  result->architecture_ = architecture_;
  result->graph_ = graph_;
  result->dialect_ = dialect_;
  result->quantization_ = quantization_;
  result->edits_ = edits_;
  for (auto& [name, edit] : edits) {
    const Parameter* parameter = nullptr;
    if (graph_) {
      const auto found = std::ranges::find(graph_->parameters, name, &Parameter::name);
      if (found != graph_->parameters.end()) parameter = &*found;
    }
    if (parameter == nullptr) {
      return fail(unfit(*this, name).expects("a parameter of the model").got("no such parameter"));
    }
    if (!edit_fits(edit, parameter->rows, parameter->cols)) {
      return fail(unfit(*this, name)
                      .expects(fmt::format("finite values and factors for {} rows and {} columns",
                                           parameter->rows, parameter->cols))
                      .got("other sizes, NaN or infinity"));
    }
    result->edits_[name].push_back(std::make_shared<const WeightEdit>(std::move(edit)));
  }
  return result;
}

bool Checkpoint::edited(const Parameter& parameter) const {
  return edits_.contains(parameter.name);
}

std::string Checkpoint::hash_with_edits(std::string stored) const {
  if (edits_.empty()) return stored;
  ContentHash hash;
  hash.add(stored);
  for (const auto& [name, edits] : edits_) {
    for (const auto& edit : edits) {
      hash.add(name);
      add_to_hash(*edit, hash);
    }
  }
  return hash.hex();
}

}  // namespace quantlane
