// Split GGUF files: NAME-00001-of-00003.gguf and so on. The first shard has all metadata; every
// shard has split.no (u16, from 0), split.count (u16) and split.tensors.count (i32, of all shards).
// Source: llama.cpp tools/gguf-split.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "containers/container.h"
#include "containers/tensor_stream.h"

namespace quantlane {

inline constexpr std::size_t kGgufMaxShards = 65535;  // split.count is a u16

// "dir/m.gguf", 1 (from 0), 3 -> "dir/m-00002-of-00003.gguf". A path that already names a shard
// gives the shards of the same name.
std::filesystem::path gguf_shard_path(const std::filesystem::path& path, std::size_t shard,
                                      std::size_t count);
// Existing files that are shards of `path`, of any count; sorted.
std::vector<std::filesystem::path> existing_gguf_shards(const std::filesystem::path& path);

// The shard of each tensor, filled in order so that no file exceeds `max_bytes`; a tensor that
// exceeds it alone has a shard of its own.
std::vector<std::uint32_t> gguf_shards_by_size(const std::vector<PlannedTensor>& plan,
                                               const Metadata& metadata, std::uint64_t max_bytes);

// Writes the shards of `path` (create_gguf's contract); `shard_of`: of each planned tensor, from 0,
// never falling. All files appear at commit(), the first shard last. kInvalidArgument for more than
// kGgufMaxShards. commit() fails where something is at the place of a shard that
// `may_replace` refuses; all finished shards lie in a folder beside it then, and the error says
// where.
Result<std::unique_ptr<ContainerWriter>> create_split_gguf(
    const std::filesystem::path& path, const std::vector<PlannedTensor>& plan,
    const std::vector<std::uint32_t>& shard_of, const Metadata& metadata,
    ReplaceCheck may_replace = {});

// One file of a split, and the size of a file's header before padding.
Result<std::unique_ptr<TensorStream>> create_gguf_stream(const std::filesystem::path& path,
                                                         const std::vector<PlannedTensor>& plan,
                                                         const Metadata& metadata,
                                                         ReplaceCheck may_replace = {});
std::uint64_t gguf_header_bytes(const std::vector<PlannedTensor>& plan, const Metadata& metadata);
// general.alignment, or the default where there is none.
std::uint64_t gguf_alignment(const Metadata& metadata);

}  // namespace quantlane
