#include "containers/dialects/packed_parts.h"

#include <cstring>
#include <utility>

namespace quantlane {

PlannedPart planned_part(std::string_view module, std::string_view suffix, DType type,
                         std::vector<std::int64_t> shape, SliceAxis axis) {
  return {.tensor = {.name = std::string(module) + "." + std::string(suffix),
                     .type = {.plain = type},
                     .shape = std::move(shape)},
          .axis = axis};
}

std::vector<std::byte> raw_part(const void* data, std::size_t size) {
  std::vector<std::byte> bytes(size);
  if (size > 0) std::memcpy(bytes.data(), data, size);
  return bytes;
}

std::vector<std::byte> float_part(DType type, std::span<const float> values) {
  std::vector<std::byte> part(values.size() * static_cast<std::size_t>(dtype_row(type).size_bytes));
  encode_plain(type, values.data(), static_cast<std::int64_t>(values.size()), part.data());
  return part;
}

std::vector<std::byte> nibble_part(const QuantTensor& slice) {
  std::vector<std::byte> part(slice.codes.size() / 2);
  for (std::size_t i = 0; i < part.size(); ++i) {
    part[i] = static_cast<std::byte>(slice.codes[2 * i] | slice.codes[2 * i + 1] << 4);
  }
  return part;
}

// "\Q…\E" would not reach Python: every character that is special there is escaped.
std::string escaped_expression(std::string_view text) {
  std::string escaped;
  for (const char c : text) {
    if (std::string_view("\\^$.|?*+()[]{}").find(c) != std::string_view::npos) escaped += '\\';
    escaped += c;
  }
  return escaped;
}

}  // namespace quantlane
