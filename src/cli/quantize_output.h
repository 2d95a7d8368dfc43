// What quantize and convert share: human and JSON output, the options of split files.
#pragma once
#include "cli/command.h"
#include "quantlane/quantize.h"

namespace quantlane::cli {
void print_quantized(const QuantizeResult& result, const Io& io);
void declare_split(Options& options, SplitOptions& split);
}  // namespace quantlane::cli
