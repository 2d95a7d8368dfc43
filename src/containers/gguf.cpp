#include "containers/gguf.h"

#include <algorithm>
#include <bit>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>

#include "containers/gguf_cursor.h"
#include "containers/tensor_size.h"
#include "core/check.h"
#include "core/file.h"

namespace quantlane {
namespace {

// The smallest key (one letter, a one-byte value) and tensor info (no extents).
constexpr std::uint64_t kMinKeyBytes = 8 + 1 + 4 + 1;
constexpr std::uint64_t kMinInfoBytes = 8 + 1 + 4 + 4 + 8;

std::uint64_t padded(std::uint64_t size, std::uint64_t alignment) {
  return (size + alignment - 1) / alignment * alignment;
}

Result<std::uint32_t> read_version(GgufCursor& cursor) {
  QUANTLANE_TRY(const auto magic, cursor.take(kGgufMagic.size(), "the magic"));
  const std::string_view text(reinterpret_cast<const char*>(magic.data()), magic.size());
  if (text != kGgufMagic) {
    return fail(cursor.refuse(0, "the magic \"GGUF\"", "other bytes"));
  }
  QUANTLANE_TRY(const auto version, cursor.read<std::uint32_t>("the version"));
  if (version == 2 || version == kGgufVersion) return version;
  auto error = unsupported("reading a GGUF header")
                   .in(cursor.origin())
                   .at(kGgufMagic.size())
                   .expects("version 2 or 3, little endian");
  if (version != 0 && (version & 0xFFFFU) == 0) {
    return fail(std::move(error)
                    .got(fmt::format("version {} in big-endian byte order", std::byteswap(version)))
                    .advise("convert the file with gguf_convert_endian of gguf-py"));
  }
  error.hint = version == 1 ? "quantize the model again with a llama.cpp newer than 2023"
                            : "convert the model with a tool that writes version 3";
  return fail(std::move(error).got(fmt::format("version {}", version)));
}

// Printable UTF-8, not empty: keys and names go into messages, reports and JSON.
bool is_name(std::string_view name, const std::string& origin) {
  const bool has_control = std::ranges::any_of(
      name, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
  return !name.empty() && !has_control && check_utf8(name, origin).has_value();
}

struct Keys {
  Metadata metadata;
  std::uint64_t alignment = kGgufDefaultAlignment;
};

// `offset` of the value's type, for errors.
Result<std::uint64_t> alignment_of(const MetadataValue& value, std::uint64_t offset,
                                   const GgufCursor& cursor) {
  const auto* alignment = std::get_if<std::uint32_t>(&value);
  if (alignment == nullptr || !std::has_single_bit(*alignment)) {
    return fail(cursor.refuse(offset, "an uint32 power of two",
                              alignment == nullptr ? "another type" : std::to_string(*alignment)));
  }
  return *alignment;
}

Result<Keys> read_keys(GgufCursor& cursor, std::uint64_t count) {
  Keys keys;
  std::vector<Metadata::Entry> entries;
  entries.reserve(count);
  std::unordered_set<std::string_view> seen;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t offset = cursor.position();
    QUANTLANE_TRY(const std::string_view key, cursor.read_string("a key"));
    if (!is_name(key, cursor.origin())) {
      return fail(cursor.refuse(offset, "a printable key",
                                fmt::format("{} bytes as key number {}", key.size(), i)));
    }
    if (!seen.insert(key).second) {
      return fail(cursor.refuse(offset, "each key once", "it again").of(std::string(key)));
    }
    const std::uint64_t value_offset = cursor.position();
    auto value = read_gguf_value(cursor);
    if (!value) return fail(std::move(value).error().of(std::string(key)));
    if (key == kGgufAlignmentKey) {
      auto alignment = alignment_of(*value, value_offset, cursor);
      if (!alignment) return fail(std::move(alignment).error().of(std::string(key)));
      keys.alignment = *alignment;
    }
    entries.emplace_back(key, std::move(*value));
  }
  keys.metadata = Metadata(std::move(entries));
  return keys;
}

// Extents innermost first in the file, outermost first in the result.
Result<std::vector<std::int64_t>> read_shape(GgufCursor& cursor) {
  const std::uint64_t offset = cursor.position();
  QUANTLANE_TRY(const auto dims, cursor.read<std::uint32_t>("the number of dimensions"));
  if (dims > kGgufMaxDims) {
    return fail(cursor.refuse(offset, fmt::format("at most {} dimensions", kGgufMaxDims),
                              std::to_string(dims)));
  }
  std::vector<std::int64_t> shape(dims);
  for (std::uint32_t i = 0; i < dims; ++i) {
    QUANTLANE_TRY(shape[dims - 1 - i], cursor.read<std::int64_t>("an extent"));
    if (shape[dims - 1 - i] <= 0) {
      return fail(cursor.refuse(cursor.position() - 8, "an extent above 0",
                                std::to_string(shape[dims - 1 - i])));
    }
  }
  return shape;
}

// What follows the name: extents, type, offset (relative to the data here). Offsets must be the
// running sum of padded sizes, as ggml's reader demands: `expected`.
Result<TensorInfo> read_info(GgufCursor& cursor, std::uint64_t expected) {
  TensorInfo tensor;
  const std::uint64_t begin = cursor.position();
  QUANTLANE_TRY(tensor.shape, read_shape(cursor));
  QUANTLANE_TRY(const auto id, cursor.read<std::uint32_t>("a tensor type"));
  const auto type = ggml_element_type(id);
  if (!type) {
    return fail(unsupported("reading a GGUF tensor type")
                    .in(cursor.origin())
                    .at(cursor.position() - sizeof(id))
                    .expects("a storage type of llama.cpp that this version knows")
                    .got(type.error())
                    .advise("get or make the model in such a type, for example q4_k or q8_0"));
  }
  tensor.type = *type;
  const auto size = stored_size(tensor.type, tensor.shape);
  if (!size) {
    return fail(
        cursor.refuse(begin, size.error(),
                      fmt::format("shape {} of {}", shape_text(tensor.shape), tensor.type.name())));
  }
  tensor.size_bytes = *size;
  QUANTLANE_TRY(tensor.offset, cursor.read<std::uint64_t>("an offset"));
  if (tensor.offset != expected) {
    return fail(cursor.refuse(cursor.position() - sizeof(tensor.offset),
                              fmt::format("data offset {}, after the tensor before it", expected),
                              fmt::format("data offset {}", tensor.offset)));
  }
  return tensor;
}

Result<std::vector<TensorInfo>> read_infos(GgufCursor& cursor, std::uint64_t count,
                                           std::uint64_t alignment) {
  std::vector<TensorInfo> tensors;
  tensors.reserve(count);
  std::unordered_set<std::string_view> seen;
  std::uint64_t data_end = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t offset = cursor.position();
    QUANTLANE_TRY(const std::string_view name, cursor.read_string("a tensor name"));
    if (name.size() > kGgufMaxTensorName || !is_name(name, cursor.origin())) {
      return fail(cursor.refuse(
          offset, fmt::format("a printable tensor name of 1..{} bytes", kGgufMaxTensorName),
          fmt::format("{} bytes as name of tensor number {}", name.size(), i)));
    }
    if (!seen.insert(name).second) {
      return fail(cursor.refuse(offset, "each tensor once", "it again").of(std::string(name)));
    }
    auto tensor = read_info(cursor, data_end);
    if (!tensor) return fail(std::move(tensor).error().of(std::string(name)));
    data_end = padded(tensor->offset + tensor->size_bytes, alignment);
    tensor->name = name;
    tensors.push_back(std::move(*tensor));
  }
  return tensors;
}

// Makes offsets absolute, within the file.
Result<void> place_tensors(std::vector<TensorInfo>& tensors, std::uint64_t data_begin,
                           std::uint64_t file_bytes, const GgufCursor& cursor) {
  for (TensorInfo& tensor : tensors) {
    // Both below 2^63: data_begin by the file, the offset because all tensors before end in it.
    const std::uint64_t begin = data_begin + tensor.offset;
    if (begin > file_bytes || tensor.size_bytes > file_bytes - begin) {
      return fail(cursor
                      .refuse(begin, fmt::format("{} bytes of tensor data", tensor.size_bytes),
                              fmt::format("{} bytes before the end of the file",
                                          begin > file_bytes ? 0 : file_bytes - begin))
                      .of(tensor.name));
    }
    tensor.offset = begin;
  }
  return {};
}

}  // namespace

Result<GgufFile> parse_gguf(std::span<const std::byte> file, const std::string& origin) {
  GgufCursor cursor(file, origin);
  GgufFile result;
  QUANTLANE_TRY(result.version, read_version(cursor));
  QUANTLANE_TRY(const auto tensor_count, cursor.read_count(kMinInfoBytes, "tensors"));
  QUANTLANE_TRY(const auto key_count, cursor.read_count(kMinKeyBytes, "keys"));
  QUANTLANE_TRY(Keys keys, read_keys(cursor, key_count));
  QUANTLANE_TRY(result.tensors, read_infos(cursor, tensor_count, keys.alignment));
  QUANTLANE_TRY_VOID(place_tensors(result.tensors, padded(cursor.position(), keys.alignment),
                                   file.size(), cursor));
  result.metadata = std::move(keys.metadata);
  return result;
}

}  // namespace quantlane
