// Bounded reading of the little-endian primitives of GGUF.
#pragma once
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

#include "containers/metadata.h"
#include "quantlane/result.h"

namespace quantlane {

// A position in the bytes of one file. No read goes beyond the end; what fails leaves an Error that
// names the file and the offset.
class GgufCursor {
 public:
  GgufCursor(std::span<const std::byte> bytes, const std::string& origin)
      : bytes_(bytes), origin_(&origin) {}

  [[nodiscard]] std::uint64_t position() const { return position_; }
  [[nodiscard]] std::uint64_t remaining() const { return bytes_.size() - position_; }
  [[nodiscard]] const std::string& origin() const { return *origin_; }

  // A trivially copyable value; `what` names it in errors.
  template <class T>
  Result<T> read(std::string_view what) {
    if (remaining() < sizeof(T)) return fail(truncated(what, sizeof(T)));
    T value;
    std::memcpy(&value, bytes_.data() + position_, sizeof(T));
    position_ += sizeof(T);
    return value;
  }
  // `size` bytes in place; `what` names them in errors.
  Result<std::span<const std::byte>> take(std::uint64_t size, std::string_view what);
  // u64 length and bytes, in place.
  Result<std::string_view> read_string(std::string_view what);
  // A u64 count of things of at least `min_bytes` each, which must fit the rest of the file.
  Result<std::uint64_t> read_count(std::uint64_t min_bytes, std::string_view what);

  // kCorrupt at `offset` of this file.
  [[nodiscard]] Error refuse(std::uint64_t offset, std::string expected, std::string found) const;

 private:
  [[nodiscard]] Error truncated(std::string_view what, std::uint64_t size) const;

  std::span<const std::byte> bytes_;
  const std::string* origin_;
  std::uint64_t position_ = 0;
};

// Type id of a GGUF value: the index of MetadataValue's alternative below 9, one more above (9 is
// "array"); arrays are the second dozen of alternatives.
inline constexpr std::uint32_t kGgufArrayType = 9;
inline constexpr std::size_t kGgufScalarTypes = 12;

// A u32 type id and the value.
Result<MetadataValue> read_gguf_value(GgufCursor& cursor);
// Appends the type id and the value as read_gguf_value() reads them.
void append_gguf_value(const MetadataValue& value, std::string& out);
void append_gguf_string(std::string_view text, std::string& out);
template <class T>
void append_gguf_number(T value, std::string& out) {
  static_assert(std::endian::native == std::endian::little);
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

}  // namespace quantlane
