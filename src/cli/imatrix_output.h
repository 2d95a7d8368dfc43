// What the commands that write an importance matrix print: the file, and as notes what its text
// never reached.
#pragma once
#include "cli/command.h"
#include "quantlane/imatrix.h"

namespace quantlane::cli {
void print_imatrix(const ImatrixResult& result, const Io& io);
}
