// One module of a folder as it is stored, with whatever tensors it has: part of what a pre-flight
// reads (preflight_facts.h).
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "containers/container.h"
#include "containers/dialects/dialect.h"
#include "recommend/preflight_facts.h"

namespace quantlane {

struct ModuleSource {
  const Container& container;
  std::string_view dialect;    // its name; empty when no dialect claims the configuration
  const QuantizationMap* map;  // nullptr: not quantized, or not to be read
  bool read_values;            // look into scales
};

// The modules that have a matrix, in file order.
std::vector<std::string> modules_of(const Container& container);
LinearFacts read_module(const ModuleSource& source, std::string module);

}  // namespace quantlane
