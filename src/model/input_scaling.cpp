#include "model/input_scaling.h"

#include <utility>

#include "core/check.h"

namespace quantlane {
namespace {

std::vector<std::int64_t> one_to_one(std::int64_t size) {
  std::vector<std::int64_t> map(static_cast<std::size_t>(size));
  for (std::size_t i = 0; i < map.size(); ++i) map[i] = static_cast<std::int64_t>(i);
  return map;
}

// Column of o -> row of v: each value head serves several query heads.
std::vector<std::int64_t> value_row_of_column(const ModelConfig& config) {
  std::vector<std::int64_t> map = one_to_one(config.q_size());
  const std::int64_t shared = config.head_count / config.kv_head_count;
  for (std::int64_t& column : map) {
    const std::int64_t head = column / config.head_dim;
    column = head / shared * config.head_dim + column % config.head_dim;
  }
  return map;
}

void multiply(std::vector<float>& factors, std::int64_t size, const auto& factor_of) {
  factors.resize(static_cast<std::size_t>(size), 1.0F);
  for (std::size_t i = 0; i < factors.size(); ++i) factors[i] *= factor_of(i);
}

}  // namespace

std::int64_t ScalableInput::source_size() const {
  return is_linear(source->role) ? source->rows : source->cols;
}

std::vector<ScalableInput> scalable_inputs(const Graph& graph, std::int64_t layer) {
  const ModelConfig& config = graph.config;
  const auto at = [&](Role role) { return graph.find(role, layer); };
  std::vector<ScalableInput> inputs;
  inputs.push_back({.source = at(Role::kAttentionNorm),
                    .readers = {at(Role::kQuery), at(Role::kKey), at(Role::kValue)},
                    .source_of_column = one_to_one(config.hidden_size)});
  inputs.push_back({.source = at(Role::kValue),
                    .source_bias = at(Role::kValueBias),
                    .readers = {at(Role::kAttentionOutput)},
                    .source_of_column = value_row_of_column(config)});
  // The router reads the same norm and stays as it is, so layers of experts have no more freedom.
  if (at(Role::kRouter) != nullptr) return inputs;
  inputs.push_back({.source = at(Role::kFeedForwardNorm),
                    .readers = {at(Role::kGate), at(Role::kUp)},
                    .source_of_column = one_to_one(config.hidden_size)});
  inputs.push_back({.source = at(Role::kUp),
                    .readers = {at(Role::kDown)},
                    .source_of_column = one_to_one(config.intermediate_size)});
  return inputs;
}

void add_scaling(const ScalableInput& input, std::span<const float> factors, WeightEdits& edits) {
  QUANTLANE_CHECK(static_cast<std::int64_t>(factors.size()) == input.source_size());
  for (const Parameter* reader : input.readers) {
    multiply(edits[reader->name].column_factors, reader->cols, [&](std::size_t c) {
      return factors[static_cast<std::size_t>(input.source_of_column[c])];
    });
  }
  const auto inverse = [&](std::size_t i) { return 1 / factors[i]; };
  WeightEdit& source = edits[input.source->name];
  const bool linear = is_linear(input.source->role);
  multiply(linear ? source.row_factors : source.column_factors, input.source_size(), inverse);
  if (input.source_bias != nullptr) {
    multiply(edits[input.source_bias->name].column_factors, input.source_size(), inverse);
  }
}

}  // namespace quantlane
