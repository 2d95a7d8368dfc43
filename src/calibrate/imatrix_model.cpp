#include "calibrate/imatrix_model.h"

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "calibrate/expert_coverage.h"
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

// What multiplies activations: Linears, routers, and the embedding where it is the head too.
bool is_product(const Parameter& parameter, const ModelConfig& config) {
  return is_linear(parameter.role) || parameter.role == Role::kRouter ||
         (parameter.role == Role::kEmbedding && config.tied_embeddings);
}

bool is_output(const Parameter& parameter) {
  return parameter.role == Role::kHead || parameter.role == Role::kEmbedding;
}

Result<void> check_width(const ImatrixEntry& entry, const GgufTensor& tensor,
                         const std::string& origin) {
  const Parameter& first = *tensor.parameters.front();
  const auto values = tensor.parameters.size() * static_cast<std::size_t>(first.cols);
  const bool counted = entry.counts.size() == 1 || entry.counts.size() == tensor.parameters.size();
  if (counted && entry.sums.size() == values) return {};
  return fail(
      invalid("matching an importance matrix with the model")
          .in(origin)
          .of(tensor.name)
          .expects(fmt::format("{} values, one for each input of {}{}", values, first.module(),
                               first.expert < 0 ? "" : " and of the other experts"))
          .got(fmt::format("{} values with {} counts", entry.sums.size(), entry.counts.size()))
          .advise(kOtherModel));
}

// What an entry says of matrix `index` of `matrices`.
InputStatistics part_of(const ImatrixEntry& entry, std::size_t index, std::size_t matrices) {
  const auto width = static_cast<std::ptrdiff_t>(entry.sums.size() / matrices);
  const auto begin = entry.sums.begin() + static_cast<std::ptrdiff_t>(index) * width;
  InputStatistics inputs{.sum_squares = {begin, begin + width},
                         .absmax = {},
                         .tokens = entry.counts[entry.counts.size() == 1 ? 0 : index]};
  // .dat has one count for all experts, and a mean of 1 in every column of those that it never saw.
  const auto is_one = [&](double sum) { return sum == static_cast<double>(inputs.tokens); };
  if (matrices > entry.counts.size() && std::ranges::all_of(inputs.sum_squares, is_one)) {
    inputs.tokens = 0;
  }
  return inputs;
}

// What of a model and of a matrix finds no counterpart.
struct Gaps {
  std::size_t matrices = 0;          // that want an entry
  std::vector<std::string> missing;  // of them
  std::vector<std::string> outputs;  // heads without an entry: llama-imatrix leaves them out
  std::vector<std::string> foreign;  // entries
  std::vector<std::string> unseen;   // entries of the model with counts of 0
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
  for (const GgufTensor& tensor : gguf_tensors(graph)) {
    if (!is_product(*tensor.parameters.front(), graph.config)) continue;
    ImatrixEntry entry;
    for (const Parameter* p : tensor.parameters) {
      const auto found = statistics.modules().find(p->module());
      const bool seen = found != statistics.modules().end();
      entry.counts.push_back(seen ? found->second.tokens : 0);
      if (seen) {
        entry.sums.insert(entry.sums.end(), found->second.sum_squares.begin(),
                          found->second.sum_squares.end());
      } else {
        entry.sums.resize(entry.sums.size() + static_cast<std::size_t>(p->cols));
      }
    }
    if (entry.max_count() > 0) imatrix.entries.emplace(tensor.name, std::move(entry));
  }
  return imatrix;
}

Result<ImatrixMatch> match_imatrix(const Imatrix& imatrix, const Graph& graph,
                                   const std::string& origin) {
  ImatrixMatch match;
  Gaps gaps;
  std::set<std::string, std::less<>> known;
  for (const GgufTensor& tensor : gguf_tensors(graph)) {
    const Parameter& first = *tensor.parameters.front();
    if (!is_product(first, graph.config)) continue;
    known.insert(tensor.name);
    if (first.role == Role::kRouter) continue;
    gaps.matrices += is_output(first) ? 0 : 1;
    const auto found = imatrix.entries.find(tensor.name);
    if (found == imatrix.entries.end() || found->second.max_count() == 0) {
      (is_output(first) ? gaps.outputs : gaps.missing).push_back(tensor.name);
      if (found != imatrix.entries.end()) gaps.unseen.push_back(tensor.name);
      continue;
    }
    QUANTLANE_TRY_VOID(check_width(found->second, tensor, origin));
    for (std::size_t i = 0; i < tensor.parameters.size(); ++i) {
      InputStatistics inputs = part_of(found->second, i, tensor.parameters.size());
      if (inputs.tokens == 0) continue;
      match.statistics.set(std::string(tensor.parameters[i]->module()), std::move(inputs));
    }
  }
  for (const auto& [name, entry] : imatrix.entries) {
    if (!known.contains(name)) gaps.foreign.push_back(name);
  }
  if (match.statistics.modules().empty() && !gaps.unseen.empty()) {
    return fail(invalid("matching an importance matrix with the model")
                    .in(origin)
                    .of(gaps.unseen.front())
                    .expects("entries that saw tokens")
                    .got(counted(gaps.unseen.size(), "entry", "entries") +
                         " of this model, none of which saw a token")
                    .advise("collect one with quantlane imatrix, over more text"));
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
  std::vector<std::string> idle;
  std::size_t columns = 0;
  for (const auto& [name, entry] : imatrix.entries) {
    const auto empty = static_cast<std::size_t>(std::ranges::count(entry.counts, 0));
    if (empty == entry.counts.size()) {
      unseen.push_back(name);
      continue;
    }
    std::size_t zeros = 0;
    for (std::size_t i = 0; i < entry.sums.size(); ++i)
      zeros += entry.sums[i] == 0 && entry.counts[i / entry.values_per_count()] > 0 ? 1 : 0;
    if (zeros == 0) continue;
    idle.push_back(fmt::format("{}: {} of {}", name, zeros, entry.sums.size()));
    columns += zeros;
  }
  std::vector<std::string> notices;
  if (imatrix.uncounted > 0) {
    notices.push_back(counted(static_cast<std::size_t>(imatrix.uncounted), "entry", "entries") +
                      " of 0 chunks in the file: the values are taken as means over one chunk");
  }
  if (!unseen.empty()) {
    notices.push_back(fmt::format("{} saw no token ({})",
                                  counted(unseen.size(), "entry", "entries"), first_names(unseen)));
  }
  for (std::string& notice : expert_notices(expert_tokens(imatrix)))
    notices.push_back(std::move(notice));
  if (columns > 0) {
    notices.push_back(fmt::format("{} zero for every token ({})",
                                  counted(columns, "input column was", "input columns were"),
                                  first_names(idle)));
  }
  return notices;
}

}  // namespace quantlane
