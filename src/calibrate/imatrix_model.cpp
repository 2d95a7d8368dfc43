#include "calibrate/imatrix_model.h"

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "core/check.h"

namespace quantlane {
namespace {

constexpr std::size_t kNamesShown = 3;
constexpr const char* kOtherModel =
    "the matrix belongs to another model: collect one with quantlane imatrix";

// "a, b, c, …"
std::string first_names(const std::vector<std::string>& names) {
  const auto shown = std::min(kNamesShown, names.size());
  std::string text;
  for (std::size_t i = 0; i < shown; ++i) text += (i == 0 ? "" : ", ") + names[i];
  return text + (names.size() > shown ? ", …" : "");
}

// "1 entry", "2 entries"
std::string counted(std::size_t count, std::string_view one, std::string_view many) {
  return fmt::format("{} {}", count, count == 1 ? one : many);
}

// What multiplies activations: Linears, and the embedding where it is the head too.
bool is_product(const Parameter& parameter, const ModelConfig& config) {
  return is_linear(parameter.role) ||
         (parameter.role == Role::kEmbedding && config.tied_embeddings);
}

bool is_output(const Parameter& parameter) {
  return parameter.role == Role::kHead || parameter.role == Role::kEmbedding;
}

Result<void> check_width(const ImatrixEntry& entry, const Parameter& parameter,
                         const std::string& name, const std::string& origin) {
  if (entry.counts.size() == 1 && entry.sums.size() == static_cast<std::size_t>(parameter.cols))
    return {};
  return fail(
      invalid("matching an importance matrix with the model")
          .in(origin)
          .of(name)
          .expects(fmt::format("{} values, one for each input of {}", parameter.cols,
                               parameter.module()))
          .got(fmt::format("{} values with {} counts", entry.sums.size(), entry.counts.size()))
          .advise(kOtherModel));
}

// What of a model and of a matrix finds no counterpart.
struct Gaps {
  std::size_t matrices = 0;          // that want an entry
  std::vector<std::string> missing;  // of them
  std::vector<std::string> outputs;  // heads without an entry: llama-imatrix leaves them out
  std::vector<std::string> foreign;  // entries
};

std::vector<std::string> notices_of(const Gaps& gaps) {
  std::vector<std::string> notices;
  if (!gaps.missing.empty()) {
    notices.push_back(fmt::format(
        "{} of {} matrices have no entry in the importance matrix and are quantized unweighted "
        "({})",
        gaps.missing.size(), gaps.matrices, first_names(gaps.missing)));
  }
  for (const std::string& name : gaps.outputs) {
    notices.push_back(name + " has no entry in the importance matrix and is quantized unweighted");
  }
  if (!gaps.foreign.empty()) {
    notices.push_back(fmt::format("{} of the importance matrix without a matrix of this model ({})",
                                  counted(gaps.foreign.size(), "entry", "entries"),
                                  first_names(gaps.foreign)));
  }
  return notices;
}

}  // namespace

Imatrix imatrix_of(const Statistics& statistics, const Graph& graph) {
  Imatrix imatrix;
  for (const Parameter& parameter : graph.parameters) {
    if (!is_product(parameter, graph.config)) continue;
    const auto found = statistics.modules().find(parameter.module());
    if (found == statistics.modules().end()) continue;
    imatrix.entries.emplace(
        gguf_name(parameter.role, parameter.layer, graph.config),
        ImatrixEntry{.sums = found->second.sum_squares, .counts = {found->second.tokens}});
  }
  return imatrix;
}

Result<ImatrixMatch> match_imatrix(const Imatrix& imatrix, const Graph& graph,
                                   const std::string& origin) {
  ImatrixMatch match;
  Gaps gaps;
  std::set<std::string, std::less<>> known;
  for (const Parameter& parameter : graph.parameters) {
    if (!is_product(parameter, graph.config)) continue;
    const std::string name = gguf_name(parameter.role, parameter.layer, graph.config);
    known.insert(name);
    gaps.matrices += is_output(parameter) ? 0 : 1;
    const auto found = imatrix.entries.find(name);
    if (found == imatrix.entries.end() || found->second.max_count() == 0) {
      (is_output(parameter) ? gaps.outputs : gaps.missing).push_back(name);
      continue;
    }
    const ImatrixEntry& entry = found->second;
    QUANTLANE_TRY_VOID(check_width(entry, parameter, name, origin));
    match.statistics.set(std::string(parameter.module()),
                         {.sum_squares = entry.sums, .absmax = {}, .tokens = entry.counts.front()});
  }
  for (const auto& [name, entry] : imatrix.entries) {
    if (!known.contains(name)) gaps.foreign.push_back(name);
  }
  if (match.statistics.modules().empty()) {
    return fail(invalid("matching an importance matrix with the model")
                    .in(origin)
                    .expects("entries such as " + first_names(gaps.missing))
                    .got("entries such as " + imatrix.entries.begin()->first)
                    .advise(kOtherModel));
  }
  match.notices = notices_of(gaps);
  for (std::string& notice : coverage_notices(imatrix)) match.notices.push_back(std::move(notice));
  return match;
}

std::vector<std::string> coverage_notices(const Imatrix& imatrix) {
  std::vector<std::string> unseen;
  std::vector<std::string> partial;
  std::vector<std::string> idle;
  std::size_t experts = 0;
  std::size_t columns = 0;
  for (const auto& [name, entry] : imatrix.entries) {
    const auto empty = static_cast<std::size_t>(std::ranges::count(entry.counts, 0));
    if (empty == entry.counts.size()) {
      unseen.push_back(name);
      continue;
    }
    if (empty > 0) {
      partial.push_back(fmt::format("{}: {} of {}", name, empty, entry.counts.size()));
      experts += empty;
    }
    std::size_t zeros = 0;
    for (std::size_t i = 0; i < entry.sums.size(); ++i)
      zeros += entry.sums[i] == 0 && entry.counts[i / entry.values_per_count()] > 0 ? 1 : 0;
    if (zeros == 0) continue;
    idle.push_back(fmt::format("{}: {} of {}", name, zeros, entry.sums.size()));
    columns += zeros;
  }
  std::vector<std::string> notices;
  if (!unseen.empty()) {
    notices.push_back(fmt::format("{} saw no token ({})",
                                  counted(unseen.size(), "entry", "entries"), first_names(unseen)));
  }
  if (experts > 0) {
    notices.push_back(fmt::format("{} saw no token ({})", counted(experts, "expert", "experts"),
                                  first_names(partial)));
  }
  if (columns > 0) {
    notices.push_back(fmt::format("{} zero for every token ({})",
                                  counted(columns, "input column was", "input columns were"),
                                  first_names(idle)));
  }
  return notices;
}

}  // namespace quantlane
