// What the files of ModelOpt share.
#pragma once
#include <span>
#include <string_view>

#include "containers/dialects/dialect.h"

namespace quantlane::modelopt {

constexpr std::string_view kName = "modelopt";

// A row of quant_algo: the schemes of weights and inputs by their spellings.
struct Algorithm {
  std::string_view name;
  std::string_view weight;
  std::string_view input;  // empty: not rounded
  [[nodiscard]] LinearScheme scheme() const;
};
std::span<const Algorithm> algorithms();
const Algorithm* algorithm(std::string_view name);

extern const DialectWriter kWriter;

}  // namespace quantlane::modelopt
