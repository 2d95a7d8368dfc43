#include "api/importances.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <utility>

#include "calibrate/expert_coverage.h"
#include "calibrate/idle_columns.h"
#include "calibrate/imatrix_model.h"
#include "calibrate/statistics_view.h"
#include "core/check.h"
#include "core/cpu.h"

namespace quantlane {
namespace {

std::string joined(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) text += (text.empty() ? "" : ", ") + name;
  return text;
}

// The most that a Linear saw.
std::int64_t max_tokens(const Statistics& statistics) {
  std::int64_t most = 0;
  for (const auto& [module, inputs] : statistics.modules()) most = std::max(most, inputs.tokens);
  return most;
}

// Experts that the text hardly reached get what their siblings saw.
void complete(Importances& importances, const Checkpoint& checkpoint, bool tokens_known) {
  std::string done = complete_experts(importances.statistics, *checkpoint.graph(), tokens_known);
  if (!done.empty()) importances.notices.push_back(std::move(done));
}

// The first Linear of which the statistics are missing, or of something else.
Result<void> check_same_model(const Statistics& statistics, const std::filesystem::path& path,
                              const Checkpoint& checkpoint) {
  const auto differs = [&](std::string_view module, std::string expected, std::string found) {
    return fail(
        invalid("reading calibration statistics")
            .in(path.string())
            .of(std::string(module))
            .expects(std::move(expected))
            .got(std::move(found))
            .advise("give the statistics of this model, or leave --statistics out and let the "
                    "lane calibrate itself"));
  };
  std::map<std::string_view, std::int64_t> widths;
  for (const Parameter& p : checkpoint.graph()->parameters) {
    if (is_matrix(p.role)) widths[p.module()] = p.cols;
  }
  for (const auto& [module, inputs] : statistics.modules()) {
    const auto width = static_cast<std::int64_t>(inputs.sum_squares.size());
    const auto found = widths.find(module);
    if (found == widths.end())
      return differs(module, "Linears of " + checkpoint.path().string(),
                     "one that it does not have");
    if (found->second != width) {
      return differs(module, std::to_string(found->second) + " columns, as the model has",
                     std::to_string(width));
    }
  }
  for (const Parameter& p : checkpoint.graph()->parameters) {
    if (!is_block_linear(p.role) || p.expert >= 0 || statistics.modules().contains(p.module()))
      continue;
    return differs(p.module(), "statistics of every Linear", "none of this one");
  }
  if (statistics.origin().model.empty()) return {};
  QUANTLANE_TRY(const std::string own, checkpoint.content_hash());
  if (own == statistics.origin().model) return {};
  return differs("", "statistics of the model that is quantized, content " + own,
                 "those of content " + statistics.origin().model +
                     ": other weights move activations, and scales of the old ones would not fit");
}

}  // namespace

Result<Importances> importances_from_statistics(const std::filesystem::path& path,
                                                const Checkpoint& checkpoint) {
  QUANTLANE_TRY(Statistics statistics, Statistics::load(path));
  QUANTLANE_TRY_VOID(check_same_model(statistics, path, checkpoint));
  const Imatrix view = view_as_imatrix(statistics);
  return importances_from_pass(std::move(statistics), checkpoint, joined(view.datasets),
                               view.chunk_count);
}

Result<Importances> importances_from_file(const std::filesystem::path& imatrix,
                                          const Checkpoint& checkpoint) {
  if (holds_statistics(imatrix)) {
    QUANTLANE_TRY(Importances whole, importances_from_statistics(imatrix, checkpoint));
    whole.origin.file = imatrix.string();
    return whole;
  }
  QUANTLANE_TRY(const Imatrix read, read_imatrix(imatrix));
  QUANTLANE_TRY(ImatrixMatch match, match_imatrix(read, *checkpoint.graph(), imatrix.string()));
  Importances importances;
  importances.statistics = std::move(match.statistics);
  importances.notices = std::move(match.notices);
  importances.experts = expert_coverage(expert_tokens(read));
  importances.idle_columns = idle_columns(importances.statistics, *checkpoint.graph());
  complete(importances, checkpoint, read.chunk_size > 0);
  importances.origin.file = imatrix.string();
  importances.origin.dataset = joined(read.datasets);
  importances.origin.entries = static_cast<std::int64_t>(read.entries.size());
  importances.origin.chunks = read.chunk_count;
  importances.tokens = read.tokens();
  return importances;
}

Importances importances_from_pass(Statistics statistics, const Checkpoint& checkpoint,
                                  std::string dataset, std::int64_t chunks) {
  const Imatrix imatrix = imatrix_of(statistics, *checkpoint.graph());
  Importances importances;
  importances.origin = {.file = {},
                        .dataset = std::move(dataset),
                        .entries = static_cast<std::int64_t>(imatrix.entries.size()),
                        .chunks = chunks};
  importances.tokens = max_tokens(statistics);
  importances.statistics = std::move(statistics);
  importances.notices = expert_notices(expert_tokens(imatrix));
  importances.experts = expert_coverage(expert_tokens(imatrix));
  importances.idle_columns = idle_columns(importances.statistics, *checkpoint.graph());
  if (importances.idle_columns.any()) {
    importances.notices.push_back(idle_columns_notice(importances.idle_columns));
  }
  complete(importances, checkpoint, true);
  return importances;
}

LayerWalk::Beside beside_feedback(const Lane& lane) {
  const bool fine = !lane.is_gguf() && lane.scheme.weight.bits >= 8;
  return fine ? LayerWalk::Beside::kNothing : LayerWalk::Beside::kExact;
}

std::uint64_t sample_budget() { return cpu_info().available_bytes / 2; }

}  // namespace quantlane
