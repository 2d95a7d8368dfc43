// GGUF (little endian): "GGUF" | u32 version | u64 tensor count | u64 key count | keys | tensor
// infos | padding to the alignment | tensor data, each padded to the alignment.
//   string = u64 length, bytes;  key = string, u32 value type, value
//   array  = u32 element type, u64 count, elements
//   info   = string, u32 n_dims (<= 4), i64 extents innermost first, u32 type, u64 offset in the
//   data
// Example: 47 47 55 46 03 00 00 00, then two u64 counts. Sources: docs/gguf.md of ggml and the
// limits of its C reader (ggml/src/gguf.cpp).
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "containers/container.h"

namespace quantlane {

inline constexpr std::string_view kGgufMagic = "GGUF";
inline constexpr std::uint32_t kGgufVersion = 3;
inline constexpr std::uint64_t kGgufDefaultAlignment = 32;
inline constexpr std::string_view kGgufAlignmentKey = "general.alignment";
inline constexpr std::uint32_t kGgufMaxDims = 4;
inline constexpr std::size_t kGgufMaxTensorName = 63;  // bytes; ggml keeps 64 with the final NUL

// What one file says before its data, verified against the file's size.
struct GgufFile {
  std::uint32_t version = 0;
  Metadata metadata;
  std::vector<TensorInfo> tensors;  // file order, shard = 0
};

// `file`: the whole file (tensor data is not read); `origin` names it in errors. Versions 2 and 3.
// kUnsupported: version 1, byte-swapped files, nested arrays, tensor types of other forks or not in
// the tables. kCorrupt: everything that the grammar or the file's size rules out.
Result<GgufFile> parse_gguf(std::span<const std::byte> file, const std::string& origin);

// A .gguf file, or shard 1 of a split one (NAME-00001-of-00003.gguf), which opens all shards; the
// split.* keys are left out of the metadata then.
Result<std::unique_ptr<Container>> open_gguf(const std::filesystem::path& path);
bool is_gguf(const std::filesystem::path& path);

// The element type with this id of enum ggml_type; otherwise what the id is known to be ("q8_k, for
// activations only", "iq4_ks of ik_llama.cpp").
std::expected<ElementType, std::string> ggml_element_type(std::uint32_t id);
// The id of a type, or nullopt where GGUF has none.
std::optional<std::uint32_t> ggml_type_id(const ElementType& type);

extern const ContainerKind kGgufKind;

}  // namespace quantlane
