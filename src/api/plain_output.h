// Every command that writes begins with its output as it will be made and named.
#pragma once
#include <utility>

#include "core/output_path.h"

namespace quantlane {

// `options` with plain_spelling(options.out).
template <class Options>
Options with_plain_output(Options options) {
  if (!options.out.empty()) options.out = plain_spelling(options.out);
  return options;
}

}  // namespace quantlane
