// The human and JSON output that quantize and convert share.
#pragma once
#include "cli/command.h"
#include "quantlane/quantize.h"

namespace quantlane::cli {
void print_quantized(const QuantizeResult& result, const Io& io);
}
