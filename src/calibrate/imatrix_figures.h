// What an importance matrix says about each weight, in figures.
#pragma once
#include <vector>

#include "calibrate/imatrix.h"
#include "quantlane/imatrix.h"

namespace quantlane {

// One row for each entry that saw a token, by tensor, then layer. Formulas: compute_statistics and
// compute_cossim in tools/imatrix/imatrix.cpp of llama.cpp 0c1e57098, here in double.
std::vector<ImatrixTensor> imatrix_figures(const Imatrix& imatrix);

}  // namespace quantlane
