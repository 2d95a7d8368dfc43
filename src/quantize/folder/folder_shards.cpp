#include "quantize/folder/folder_shards.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <span>

#include <fmt/format.h>

#include "core/check.h"
#include "quantize/folder/kv_tensors.h"

namespace quantlane {
namespace {

// All are open at once; 1024 descriptors are the usual limit of a process.
constexpr std::size_t kMostShards = 512;
// Of a header, beyond its tensors: its length, braces and padding.
constexpr std::uint64_t kHeaderBytes = 64;
// Of a tensor's entry beyond name and extents: the keys, the type, two offsets of up to 20 digits.
constexpr std::uint64_t kEntryBytes = 128;
constexpr std::uint64_t kExtentBytes = 21;

// At most; names have no characters that JSON writes longer.
std::uint64_t bytes_in_file(std::span<const PlannedTensor> tensors) {
  std::uint64_t bytes = 0;
  for (const PlannedTensor& tensor : tensors) {
    bytes +=
        tensor.size_bytes() + kEntryBytes + tensor.name.size() + kExtentBytes * tensor.shape.size();
  }
  return bytes;
}

}  // namespace

SourceShards::SourceShards(const Checkpoint& source) : source_(source) {
  for (const TensorInfo& tensor : source.container().tensors()) {
    of_modules_.emplace(tensor.name.substr(0, tensor.name.rfind('.')), tensor.shard);
  }
}

std::uint32_t SourceShards::of(const Parameter& parameter) const {
  if (const TensorInfo* stored = source_.stored(parameter).tensor) return stored->shard;
  // A Linear of a dialect lies in tensors of several names, "<module>.qweight" and others.
  const auto found = of_modules_.find(parameter.module());
  return found == of_modules_.end() ? 0 : found->second;
}

void close_gaps(std::vector<FolderItem>& items) {
  std::map<std::uint32_t, std::uint32_t> numbers;
  for (const FolderItem& item : items) numbers[item.shard] = 0;
  std::uint32_t next = 0;
  for (auto& [old, number] : numbers) number = next++;
  for (FolderItem& item : items) item.shard = numbers[item.shard];
}

Result<void> cut_by_size(const QuantizeJob& job, std::vector<FolderItem>& items,
                         std::vector<std::string>& notices) {
  // Scales of the key-value cache, which are few, follow in the last file.
  const std::uint64_t reserved = kHeaderBytes + bytes_in_file(planned_kv_tensors(job));
  const std::uint64_t most = job.split.shard_bytes - std::min(reserved, job.split.shard_bytes);
  std::uint64_t filled = 0;
  std::uint32_t shard = 0;
  std::uint64_t largest = 0;
  std::string name;
  std::int64_t above = 0;
  for (FolderItem& item : items) {
    const std::uint64_t bytes = bytes_in_file(planned_tensors(job, item));
    if (filled > 0 && filled + bytes > most) {
      ++shard;
      filled = 0;
    }
    filled += bytes;
    item.shard = shard;
    above += static_cast<std::int64_t>(bytes > most);
    if (bytes > largest) name = item.name;
    largest = std::max(largest, bytes);
  }
  if (above > 0) {
    notices.push_back(fmt::format(
        "{} larger than --shard-size: no tensor is cut, and {} alone takes {} bytes",
        above == 1 ? "one file is" : fmt::format("{} files are", above), name, largest));
  }
  if (shard < kMostShards) return {};
  return fail(usage_error(attempt_of(job))
                  .of("--shard-size")
                  .expects(fmt::format("a size that gives at most {} files", kMostShards))
                  .got(fmt::format("{} bytes, which give {}", job.split.shard_bytes, shard + 1))
                  .advise("give a larger one, such as --shard-size 5GB"));
}

}  // namespace quantlane
