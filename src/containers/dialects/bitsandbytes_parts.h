// What the files of bitsandbytes share.
#pragma once
#include <array>
#include <span>
#include <string_view>

#include "containers/dialects/dialect.h"

namespace quantlane::bitsandbytes {

constexpr std::string_view kName = "bitsandbytes";
constexpr std::string_view kState = "weight.quant_state.bitsandbytes__nf4";
constexpr std::int64_t kNestedBlock = 256;

// The 256 values of the signed dynamic map, ascending: seven decades of 2^i steps each, both signs,
// zero and one (create_dynamic_map(signed=True)).
const std::array<float, 256>& dynamic_map();
// The values of the codes of NF4, as the format has them.
std::span<const float> nf4_map();

extern const DialectWriter kWriter;

}  // namespace quantlane::bitsandbytes
