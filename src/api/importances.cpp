#include "api/importances.h"

#include <utility>

#include "calibrate/expert_coverage.h"
#include "calibrate/imatrix_model.h"
#include "core/check.h"
#include "core/cpu.h"

namespace quantlane {
namespace {

// Experts that the text hardly reached get what their siblings saw.
void complete(Importances& importances, const Checkpoint& checkpoint, bool tokens_known) {
  std::string done = complete_experts(importances.statistics, *checkpoint.graph(), tokens_known);
  if (!done.empty()) importances.notices.push_back(std::move(done));
}

}  // namespace

Result<Importances> importances_from_file(const std::filesystem::path& imatrix,
                                          const Checkpoint& checkpoint) {
  QUANTLANE_TRY(const Imatrix read, read_imatrix(imatrix));
  QUANTLANE_TRY(ImatrixMatch match, match_imatrix(read, *checkpoint.graph(), imatrix.string()));
  Importances importances;
  importances.statistics = std::move(match.statistics);
  importances.notices = std::move(match.notices);
  importances.experts = expert_coverage(read);
  complete(importances, checkpoint, read.chunk_size > 0);
  importances.origin.file = imatrix.string();
  for (const std::string& dataset : read.datasets)
    importances.origin.dataset += (importances.origin.dataset.empty() ? "" : ", ") + dataset;
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
  importances.statistics = std::move(statistics);
  importances.notices = expert_notices(imatrix);
  importances.experts = expert_coverage(imatrix);
  complete(importances, checkpoint, true);
  return importances;
}

LayerWalk::Beside beside_feedback(const Lane& lane) {
  const bool fine = !lane.is_gguf() && lane.scheme.weight.bits >= 8;
  return fine ? LayerWalk::Beside::kNothing : LayerWalk::Beside::kExact;
}

std::uint64_t sample_budget() { return cpu_info().available_bytes / 2; }

}  // namespace quantlane
