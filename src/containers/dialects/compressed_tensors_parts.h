// What the files of compressed-tensors share: its configuration and its layouts.
#pragma once
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "containers/dialects/dialect.h"

namespace quantlane::compressed_tensors {

constexpr std::string_view kName = "compressed-tensors";

enum class Layout : std::uint8_t { kFloat, kInt, kPacked, kNvfp4, kMxfp4, kMxfp8 };
// The layout that writers give a scheme: 8-bit integers with rounded activations are stored one
// byte each, weight-only integers are packed.
Layout layout_of(const LinearScheme& scheme);

// The members of the Dialect row with these names.
bool recognises(const Json& config);
Result<std::unique_ptr<QuantizationMap>> read_map(const QuantizationSource& source);
Json write_config(const LinearScheme& scheme, std::span<const std::string> ignore);
Json write_groups(std::span<const SchemeGroup> groups, std::span<const std::string> ignore);
void set_kv(Json& config, const KvScheme& scheme, std::int64_t head_dim);
extern const DialectWriter kWriter;

}  // namespace quantlane::compressed_tensors
