// Importance matrices beside a model: GGUF's names against Hugging Face's, what is missing, what
// was never seen.
#pragma once
#include <string>
#include <vector>

#include "calibrate/imatrix.h"
#include "calibrate/statistics.h"
#include "model/graph.h"
#include "quantlane/result.h"

namespace quantlane {

// The sums and counts of a pass; chunk size and datasets are the caller's to set. The head of a
// tied model is "token_embd.weight", where llama-quantize looks for it.
Imatrix imatrix_of(const Statistics& statistics, const Graph& graph);

struct ImatrixMatch {
  Statistics statistics;  // second moments only: no absmax
  // What a user should know: matrices without an entry, entries without a matrix,
  // coverage_notices().
  std::vector<std::string> notices;
};
// The entries that belong to matrices of `graph`. kInvalidArgument names the first entry of another
// width, or says that no entry belongs to the model; `origin` names the file.
Result<ImatrixMatch> match_imatrix(const Imatrix& imatrix, const Graph& graph,
                                   const std::string& origin);

// One line each, with counts: entries and experts that no token reached, columns that were always
// zero.
std::vector<std::string> coverage_notices(const Imatrix& imatrix);

}  // namespace quantlane
