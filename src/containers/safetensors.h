// safetensors: u64 header length (little endian) | JSON header | tensor data without gaps.
// Header: {"name": {"dtype": "BF16", "shape": [N, K], "data_offsets": [begin, end]}, …,
// "__metadata__": {"key": "text"}}; offsets count from the end of the header.
// Example: 20 00 00 00 00 00 00 00 {"a":{"dtype":"U8",…}} … Source: the format description in the
// README of huggingface/safetensors and its validation (safetensors/src/tensor.rs).
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "containers/container.h"

namespace quantlane {

// Bytes of header that readers accept.
inline constexpr std::uint64_t kMaxSafetensorsHeader = 100'000'000;

// What the header of one file says, verified against the file's size.
struct SafetensorsFile {
  std::vector<TensorInfo> tensors;  // in the order of their data, shard = 0
  Metadata metadata;                // __metadata__, strings only
};

// `file`: the whole file (only the header is read); `origin` names it in errors. Refused as
// corrupt: a header beyond the file or above 100 MB, anything but a JSON object, entries without
// dtype, shape and data_offsets, sizes that differ from the shape, overlaps, gaps, bytes after the
// last tensor. kUnsupported: a dtype that is not in dtype_table().
Result<SafetensorsFile> parse_safetensors(std::span<const std::byte> file,
                                          const std::string& origin);

// A *.safetensors file, a *.safetensors.index.json file, or a folder: model.safetensors, or
// model.safetensors.index.json with all shards that it names, or all *.safetensors files.
Result<std::unique_ptr<Container>> open_safetensors(const std::filesystem::path& path);
bool is_safetensors(const std::filesystem::path& path);

extern const ContainerKind kSafetensorsKind;

}  // namespace quantlane
