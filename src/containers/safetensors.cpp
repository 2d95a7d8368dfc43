#include "containers/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "containers/tensor_size.h"
#include "core/check.h"
#include "core/json.h"

namespace quantlane {
namespace {

static_assert(std::endian::native == std::endian::little, "headers and data are read in place");

constexpr std::uint64_t kLengthBytes = 8;
// The limit of the reference implementation (MAX_HEADER_SIZE).
constexpr std::string_view kAttempt = "reading a safetensors header";

struct Header {
  Json json;
  std::uint64_t data_begin = 0;
};

Result<Header> read_header(std::span<const std::byte> file, const std::string& origin) {
  const auto refuse = [&](std::uint64_t offset, std::string expected, std::string found) {
    return fail(corrupt(std::string(kAttempt))
                    .in(origin)
                    .at(offset)
                    .expects(std::move(expected))
                    .got(std::move(found))
                    .advise("download or write the file again"));
  };
  if (file.size() < kLengthBytes) {
    return refuse(0, "at least 8 bytes", fmt::format("{} bytes", file.size()));
  }
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof(length));
  const std::uint64_t available = file.size() - kLengthBytes;
  if (length > kMaxSafetensorsHeader || length > available) {
    return refuse(
        0, fmt::format("a header length of at most {}", std::min(kMaxSafetensorsHeader, available)),
        std::to_string(length));
  }
  const std::string_view text(reinterpret_cast<const char*>(file.data()) + kLengthBytes, length);
  if (!text.starts_with('{')) {
    return refuse(kLengthBytes, "a JSON object that starts with '{'",
                  text.empty() ? "an empty header"
                               : fmt::format("byte 0x{:02x}", static_cast<unsigned char>(text[0])));
  }
  auto json = Json::parse(text, origin);
  if (!json) {
    Error error = std::move(json).error();
    error.attempted = kAttempt;
    error.offset = error.offset.value_or(0) + kLengthBytes;
    return fail(std::move(error));
  }
  return Header{.json = std::move(*json), .data_begin = kLengthBytes + length};
}

Result<Metadata> read_metadata(const Json& json, const std::string& origin) {
  std::vector<Metadata::Entry> entries;
  const auto refuse = [&](std::string name, std::string expected) {
    return fail(corrupt(std::string(kAttempt))
                    .in(origin)
                    .of(std::move(name))
                    .at(kLengthBytes)
                    .expects(std::move(expected))
                    .got("another JSON type"));
  };
  // MLX wrote null where there is none.
  if (json.is_null()) return Metadata();
  if (!json.is_object()) return refuse("__metadata__", "an object of strings");
  for (const auto& [key, value] : json.members()) {
    if (!value.is_string()) return refuse("__metadata__." + key, "a string");
    entries.emplace_back(key, std::string(value.string()));
  }
  return Metadata(std::move(entries));
}

std::string known_tags() {
  std::string tags;
  for (const DTypeRow& row : dtype_table()) {
    if (!tags.empty()) tags += ' ';
    tags += row.safetensors_tag;
  }
  return tags;
}

// One entry of the header; `data_bytes` = size of the data section.
Result<TensorInfo> read_tensor(const std::string& name, const Json& json, std::uint64_t data_begin,
                               std::uint64_t data_bytes, const std::string& origin) {
  const auto refuse = [&](std::string expected, std::string found) {
    return fail(corrupt(std::string(kAttempt))
                    .in(origin)
                    .of(name)
                    .at(kLengthBytes)
                    .expects(std::move(expected))
                    .got(std::move(found)));
  };
  if (!json.is_object()) return refuse("an object with dtype, shape and data_offsets", json.dump());
  for (const auto& [key, value] : json.members()) {
    if (key != "dtype" && key != "shape" && key != "data_offsets") {
      return refuse("only dtype, shape and data_offsets", key);
    }
  }
  if (!json["dtype"].is_string()) return refuse("a dtype", json["dtype"].dump());
  const auto dtype = dtype_from_safetensors(json["dtype"].string());
  if (!dtype) {
    return fail(unsupported(std::string(kAttempt))
                    .in(origin)
                    .of(name)
                    .at(kLengthBytes)
                    .expects("one of the dtypes " + known_tags())
                    .got(std::string(json["dtype"].string())));
  }
  TensorInfo tensor;
  tensor.name = name;
  tensor.type.plain = *dtype;
  if (!json["shape"].is_array()) return refuse("a shape array", json["shape"].dump());
  for (const Json& extent : json["shape"].items()) {
    if (!extent.is_integer()) return refuse("whole extents", extent.dump());
    tensor.shape.push_back(extent.integer());
  }
  const auto size = stored_size(tensor.type, tensor.shape);
  if (!size) return refuse(size.error(), shape_text(tensor.shape));
  const auto& offsets = json["data_offsets"].items();
  if (offsets.size() != 2 || !offsets[0].is_integer() || !offsets[1].is_integer() ||
      offsets[0].integer() < 0 || offsets[1].integer() < offsets[0].integer()) {
    return refuse("data_offsets [begin, end] with 0 <= begin <= end", json["data_offsets"].dump());
  }
  const auto begin = static_cast<std::uint64_t>(offsets[0].integer());
  const auto end = static_cast<std::uint64_t>(offsets[1].integer());
  if (end > data_bytes) {
    return refuse(fmt::format("data within the {} bytes after the header", data_bytes),
                  fmt::format("data_offsets [{}, {}]", begin, end));
  }
  if (end - begin != *size) {
    return refuse(
        fmt::format("{} bytes of {} {}", *size, json["dtype"].string(), shape_text(tensor.shape)),
        fmt::format("{} bytes (data_offsets [{}, {}])", end - begin, begin, end));
  }
  tensor.offset = data_begin + begin;
  tensor.size_bytes = end - begin;
  return tensor;
}

// The data section must be covered exactly once. Sorts `tensors` by place.
Result<void> check_cover(std::vector<TensorInfo>& tensors, std::uint64_t data_begin,
                         std::uint64_t file_bytes, const std::string& origin) {
  std::ranges::stable_sort(tensors, [](const TensorInfo& a, const TensorInfo& b) {
    return std::pair(a.offset, a.size_bytes) < std::pair(b.offset, b.size_bytes);
  });
  std::uint64_t covered = data_begin;
  for (const TensorInfo& tensor : tensors) {
    if (tensor.offset != covered) {
      return fail(corrupt(std::string(kAttempt))
                      .in(origin)
                      .of(tensor.name)
                      .at(tensor.offset)
                      .expects(fmt::format("its data at file offset {}, after the tensor before it",
                                           covered))
                      .got(tensor.offset < covered ? "an overlap" : "a gap"));
    }
    covered += tensor.size_bytes;
  }
  if (covered != file_bytes) {
    return fail(corrupt(std::string(kAttempt))
                    .in(origin)
                    .at(covered)
                    .expects("the end of the file after the last tensor")
                    .got(fmt::format("{} more bytes", file_bytes - covered)));
  }
  return {};
}

}  // namespace

Result<SafetensorsFile> parse_safetensors(std::span<const std::byte> file,
                                          const std::string& origin) {
  QUANTLANE_TRY(const Header header, read_header(file, origin));
  const std::uint64_t data_bytes = file.size() - header.data_begin;
  SafetensorsFile result;
  for (const auto& [name, value] : header.json.members()) {
    if (name == "__metadata__") {
      QUANTLANE_TRY(result.metadata, read_metadata(value, origin));
      continue;
    }
    QUANTLANE_TRY(TensorInfo tensor,
                  read_tensor(name, value, header.data_begin, data_bytes, origin));
    result.tensors.push_back(std::move(tensor));
  }
  QUANTLANE_TRY_VOID(check_cover(result.tensors, header.data_begin, file.size(), origin));
  return result;
}

}  // namespace quantlane
