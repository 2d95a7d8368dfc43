// Keys' values: the thirteen GGUF value types, both directions.
#include <type_traits>
#include <utility>
#include <variant>

#include <fmt/format.h>

#include "containers/gguf_cursor.h"
#include "core/check.h"

namespace quantlane {
namespace {

// Bytes that one element takes at least.
template <class T>
constexpr std::uint64_t kMinBytes =
    std::is_same_v<T, std::string> ? sizeof(std::uint64_t) : sizeof(T);
static_assert(sizeof(bool) == 1);

// Calls visit<T>() for the scalar type with this id.
template <class Visit>
Result<MetadataValue> with_value_type(const GgufCursor& cursor, std::uint32_t type, Visit visit) {
  switch (type) {
    case 0:
      return visit.template operator()<std::uint8_t>();
    case 1:
      return visit.template operator()<std::int8_t>();
    case 2:
      return visit.template operator()<std::uint16_t>();
    case 3:
      return visit.template operator()<std::int16_t>();
    case 4:
      return visit.template operator()<std::uint32_t>();
    case 5:
      return visit.template operator()<std::int32_t>();
    case 6:
      return visit.template operator()<float>();
    case 7:
      return visit.template operator()<bool>();
    case 8:
      return visit.template operator()<std::string>();
    case 10:
      return visit.template operator()<std::uint64_t>();
    case 11:
      return visit.template operator()<std::int64_t>();
    case 12:
      return visit.template operator()<double>();
    default:
      return fail(cursor.refuse(cursor.position() - sizeof(type), "a value type of 0..12",
                                std::to_string(type)));
  }
}

template <class T>
Result<T> read_scalar(GgufCursor& cursor) {
  if constexpr (std::is_same_v<T, std::string>) {
    QUANTLANE_TRY(const std::string_view text, cursor.read_string("a string value"));
    return std::string(text);
  } else if constexpr (std::is_same_v<T, bool>) {
    QUANTLANE_TRY(const auto byte, cursor.read<std::uint8_t>("a boolean value"));
    if (byte > 1) {
      return fail(cursor.refuse(cursor.position() - 1, "0 or 1 as boolean", std::to_string(byte)));
    }
    return byte == 1;
  } else {
    return cursor.read<T>("a number");
  }
}

template <class T>
Result<MetadataValue> read_elements(GgufCursor& cursor) {
  QUANTLANE_TRY(const std::uint64_t count, cursor.read_count(kMinBytes<T>, "array elements"));
  std::vector<T> elements;
  if constexpr (std::is_same_v<T, std::string> || std::is_same_v<T, bool>) {
    elements.reserve(count);
    for (std::uint64_t i = 0; i < count; ++i) {
      QUANTLANE_TRY(T element, read_scalar<T>(cursor));
      elements.push_back(std::move(element));
    }
  } else {
    QUANTLANE_TRY(const auto bytes, cursor.take(count * sizeof(T), "an array"));
    elements.resize(count);
    if (count > 0) std::memcpy(elements.data(), bytes.data(), bytes.size());
  }
  return MetadataValue(std::move(elements));
}

Result<MetadataValue> read_array(GgufCursor& cursor) {
  QUANTLANE_TRY(const auto type, cursor.read<std::uint32_t>("an array's element type"));
  if (type == kGgufArrayType) {
    return fail(unsupported("reading a GGUF header")
                    .in(cursor.origin())
                    .at(cursor.position() - sizeof(type))
                    .expects("arrays of plain values")
                    .got("an array of arrays")
                    .advise("remove the key with gguf_set_metadata of gguf-py"));
  }
  return with_value_type(cursor, type, [&cursor]<class T>() { return read_elements<T>(cursor); });
}

std::uint32_t type_id(std::size_t alternative) {
  return static_cast<std::uint32_t>(alternative < kGgufArrayType ? alternative : alternative + 1);
}

template <class T>
void append_scalar(const T& value, std::string& out) {
  if constexpr (std::is_same_v<T, std::string>) {
    append_gguf_string(value, out);
  } else {
    append_gguf_number(value, out);
  }
}

}  // namespace

Error GgufCursor::refuse(std::uint64_t offset, std::string expected, std::string found) const {
  return corrupt("reading a GGUF header")
      .in(*origin_)
      .at(offset)
      .expects(std::move(expected))
      .got(std::move(found))
      .advise("the file is cut off or damaged: download or write it again");
}

Error GgufCursor::truncated(std::string_view what, std::uint64_t size) const {
  return refuse(position_, fmt::format("{} bytes of {}", size, what),
                fmt::format("{} bytes before the end of the file", remaining()));
}

Result<std::span<const std::byte>> GgufCursor::take(std::uint64_t size, std::string_view what) {
  if (size > remaining()) return fail(truncated(what, size));
  const auto bytes = bytes_.subspan(position_, size);
  position_ += size;
  return bytes;
}

Result<std::string_view> GgufCursor::read_string(std::string_view what) {
  QUANTLANE_TRY(const std::uint64_t size, read_count(1, what));
  QUANTLANE_TRY(const auto bytes, take(size, what));
  return std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

Result<std::uint64_t> GgufCursor::read_count(std::uint64_t min_bytes, std::string_view what) {
  const std::uint64_t offset = position_;
  QUANTLANE_TRY(const auto count, read<std::uint64_t>(what));
  if (count > remaining() / min_bytes) {
    return fail(refuse(
        offset,
        fmt::format("a length or count of {} that fits the {} bytes left", what, remaining()),
        std::to_string(count)));
  }
  return count;
}

Result<MetadataValue> read_gguf_value(GgufCursor& cursor) {
  QUANTLANE_TRY(const auto type, cursor.read<std::uint32_t>("a value type"));
  if (type == kGgufArrayType) return read_array(cursor);
  return with_value_type(cursor, type, [&cursor]<class T>() -> Result<MetadataValue> {
    QUANTLANE_TRY(T value, read_scalar<T>(cursor));
    return MetadataValue(std::move(value));
  });
}

void append_gguf_string(std::string_view text, std::string& out) {
  append_gguf_number(static_cast<std::uint64_t>(text.size()), out);
  out += text;
}

void append_gguf_value(const MetadataValue& value, std::string& out) {
  const bool is_array = value.index() >= kGgufScalarTypes;
  if (is_array) append_gguf_number(kGgufArrayType, out);
  append_gguf_number(type_id(value.index() % kGgufScalarTypes), out);
  std::visit(
      [&out, is_array]<class T>(const T& stored) {
        if constexpr (requires { typename T::allocator_type; } && !std::is_same_v<T, std::string>) {
          QUANTLANE_CHECK(is_array);
          append_gguf_number(static_cast<std::uint64_t>(stored.size()), out);
          for (const typename T::value_type& element : stored) append_scalar(element, out);
        } else {
          append_scalar(stored, out);
        }
      },
      value);
}

}  // namespace quantlane
