// Steps that the writers of several dialects share.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "containers/dialects/dialect.h"

namespace quantlane {

// "<module>.<suffix>" of a plain type.
PlannedPart planned_part(std::string_view module, std::string_view suffix, DType type,
                         std::vector<std::int64_t> shape, SliceAxis axis);
// The bytes of `data`.
std::vector<std::byte> raw_part(const void* data, std::size_t size);
// Values as stored in `type`.
std::vector<std::byte> float_part(DType type, std::span<const float> values);
// Two codes of 4 bits per byte, the even column in the low nibble.
std::vector<std::byte> nibble_part(const QuantTensor& slice);
// A regular expression of Python and PCRE2 that matches `text` alone.
std::string escaped_expression(std::string_view text);

}  // namespace quantlane
