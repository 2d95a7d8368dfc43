// Scales that minimise the squared error weighted by the mean square of each input column: the
// importance matrix of llama.cpp, the weighted observers of llm-compressor (imatrix_mse).
#pragma once
#include "quantize/algorithms/algorithm.h"

namespace quantlane {
extern const Algorithm kWeighted;
}
