// Linears that a dialect keeps many to a tensor: all experts of a layer.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "containers/dialects/dialect.h"

namespace quantlane {

struct PackedLinear {
  std::string module;  // as QuantizationMap knows it
  std::int64_t rows = 0;
  std::int64_t cols = 0;
};

// The Linears whose codes `tensor` holds: none in one of scales. nullopt where it is no tensor of
// many Linears, or `dialect` (which may be nullptr) has none.
std::optional<std::vector<PackedLinear>> packed_linears(const Dialect* dialect,
                                                        const TensorInfo& tensor);

}  // namespace quantlane
