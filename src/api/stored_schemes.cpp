#include "api/stored_schemes.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <optional>
#include <utility>

#include "containers/dialects/packed_linears.h"
#include "core/cancel.h"
#include "core/check.h"
#include "model/damaged_weight.h"

namespace quantlane {
namespace {

constexpr const char* kNotRounded = "not rounded";

class Counter {
 public:
  void add(const std::optional<LinearScheme>& scheme) {
    if (!scheme) {
      ++weights_["kept plain"];
      return;
    }
    ++weights_[scheme->weight.spelling() + (scheme->weight.act_order ? " (act-order)" : "")];
    ++inputs_[scheme->input ? scheme->input->spelling() : kNotRounded];
  }
  [[nodiscard]] std::vector<SchemeCount> weights() const { return sorted(weights_); }
  [[nodiscard]] std::vector<SchemeCount> inputs() const { return sorted(inputs_); }

 private:
  using Counts = std::map<std::string, std::int64_t>;
  static std::vector<SchemeCount> sorted(const Counts& counts) {
    std::vector<SchemeCount> rows;
    for (const auto& [scheme, linears] : counts) rows.push_back({scheme, linears});
    std::ranges::stable_sort(rows, std::ranges::greater(), &SchemeCount::linears);
    return rows;
  }
  Counts weights_;
  Counts inputs_;
};

std::string kv_text(const QuantizationMap& map) {
  if (!map.kv_unknown.empty()) return "unknown: " + map.kv_unknown;
  if (map.kv_scheme.empty()) return kNotRounded;
  const auto scheme = find_kv_scheme(map.kv_scheme);
  return scheme ? std::string((*scheme)->what) : map.kv_scheme;
}

bool named(std::span<const std::string> problems, std::string_view name) {
  return std::ranges::any_of(problems, [&](const std::string& problem) {
    return problem.find(name) != std::string::npos;
  });
}

}  // namespace

StoredSchemes stored_schemes(const Checkpoint& checkpoint, const ArtefactFacts& facts) {
  const QuantizationMap* map = checkpoint.quantization();
  if (map == nullptr) return {};
  Counter counter;
  if (const Graph* graph = checkpoint.graph()) {
    for (const Parameter& p : graph->parameters) {
      if (is_linear(p.role)) counter.add(map->scheme_of(p.module()));
    }
  } else {
    for (const LinearFacts& linear : facts.linears) {
      if (!linear.module.ends_with("embed_tokens")) counter.add(linear.scheme);
    }
    for (const TensorInfo& tensor : checkpoint.container().tensors()) {
      const auto linears = packed_linears(checkpoint.dialect(), tensor);
      if (!linears) continue;
      for (const PackedLinear& linear : *linears) counter.add(map->scheme_of(linear.module));
    }
  }
  return {.weights = counter.weights(), .inputs = counter.inputs(), .kv_cache = kv_text(*map)};
}

Result<std::vector<std::string>> find_unusable_weights(const Checkpoint& checkpoint,
                                                       std::span<const std::string> known,
                                                       ThreadPool& pool, Progress& progress) {
  std::vector<const Parameter*> linears;
  if (checkpoint.quantization() == nullptr || checkpoint.graph() == nullptr)
    return std::vector<std::string>{};
  for (const Parameter& p : checkpoint.graph()->parameters) {
    if (!is_linear(p.role) || !checkpoint.quantization()->scheme_of(p.module())) continue;
    if (!named(known, p.module())) linears.push_back(&p);
  }
  std::vector<std::string> damage(linears.size());
  std::atomic<std::uint64_t> done{0};
  progress.begin("decode", linears.size(), "Linears");
  pool.parallel_for(static_cast<std::int64_t>(linears.size()), [&](std::int64_t i, int worker) {
    if (cancel_requested()) return;
    const Parameter& p = *linears[static_cast<std::size_t>(i)];
    damage[static_cast<std::size_t>(i)] = find_weight_damage(checkpoint, p);
    checkpoint.drop(p);
    ++done;
    if (worker == 0) progress.update(done.load());
  });
  progress.end();
  QUANTLANE_TRY_VOID(check_cancel("verifying weights"));
  std::vector<std::string> problems;
  for (std::size_t i = 0; i < linears.size(); ++i) {
    if (damage[i].empty()) continue;
    problems.push_back(std::string(linears[i]->module()) + ": " + damage[i]);
  }
  return problems;
}

std::vector<std::string> find_kv_problems(const Checkpoint& checkpoint,
                                          std::span<const std::string> known) {
  std::vector<std::string> problems;
  const auto rounding = checkpoint.kv_rounding();
  const std::vector<std::string> absent = checkpoint.missing_kv_scales();
  const auto told = [&](const std::string& name) {
    return !name.empty() && (named(known, name) || named(absent, name));
  };
  if (!rounding && !told(rounding.error().tensor))
    problems.push_back("key-value cache: " + rounding.error().message());
  for (const std::string& missing : absent) {
    problems.push_back(
        "key-value cache: " + missing +
        ", which other layers have; engines take 1 or that of the keys for it, or stop "
        "(inspect --engine)");
  }
  return problems;
}

}  // namespace quantlane
