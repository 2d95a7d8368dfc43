// The quantization_config of compressed-tensors: which Linears are quantized and how.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "containers/dialects/dialect.h"

namespace quantlane::compressed_tensors {

constexpr std::string_view kName = "compressed-tensors";

enum class Layout : std::uint8_t { kFloat, kInt, kPacked };
// Which of the three tensor layouts a scheme takes: 8-bit weights with rounded activations are
// stored one byte each, everything weight-only is packed.
Layout layout_of(const LinearScheme& scheme);

// The members of the Dialect row with these names.
bool recognises(const Json& config);
Result<std::unique_ptr<QuantizationMap>> read_config(const Json& config, const std::string& origin);
Json write_config(const LinearScheme& scheme, std::span<const std::string> ignore);

}  // namespace quantlane::compressed_tensors
