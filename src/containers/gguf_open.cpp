// Opens GGUF files, single or split.
#include <array>
#include <fstream>
#include <unordered_map>
#include <utility>

#include <fmt/format.h>

#include "containers/gguf.h"
#include "containers/mapped_container.h"
#include "core/check.h"

namespace quantlane {
namespace {

// llama.cpp's limit would be the u16 of split.count.
constexpr std::int64_t kMaxShards = 65535;
constexpr std::string_view kSplitNo = "split.no";
constexpr std::string_view kSplitCount = "split.count";
constexpr std::string_view kSplitTensors = "split.tensors.count";

struct Shard {
  MappedFile mapped;
  GgufFile parsed;
};

Result<Shard> open_shard(const fs::path& path) {
  QUANTLANE_TRY(MappedFile mapped, MappedFile::open(path));
  QUANTLANE_TRY(GgufFile parsed, parse_gguf(mapped.bytes(), mapped.path()));
  return Shard{.mapped = std::move(mapped), .parsed = std::move(parsed)};
}

Error split_error(const fs::path& path) {
  return corrupt("opening a split GGUF file").in(path.string());
}

// "dir/NAME-00001-of-00003.gguf", count 3 -> "dir/NAME-"; an error for other names.
Result<std::string> split_prefix(const fs::path& first, std::int64_t count) {
  const std::string ending = fmt::format("{:05}-of-{:05}.gguf", 1, count);
  const std::string text = first.string();
  if (!text.ends_with(ending)) {
    return fail(invalid("opening a split GGUF file")
                    .in(text)
                    .expects("a name that ends in " + ending)
                    .got(first.filename().string())
                    .advise("give the shards the names that they were made with"));
  }
  return text.substr(0, text.size() - ending.size());
}

// Fails where shard `number` (from 0) announces something else than the first one.
Result<void> check_split_keys(const Shard& shard, std::int64_t number, std::int64_t count) {
  const auto no = shard.parsed.metadata.integer(kSplitNo);
  const auto announced = shard.parsed.metadata.integer(kSplitCount);
  if (no == number && announced == count) return {};
  return fail(split_error(shard.mapped.path())
                  .of(std::string(kSplitNo))
                  .expects(fmt::format("shard {} of {}", number + 1, count))
                  .got(no && announced ? fmt::format("shard {} of {}", *no + 1, *announced)
                                       : "no number or count of shards")
                  .advise("put the shards of one model into one folder"));
}

class SplitFile {
 public:
  Result<void> add(Shard shard) {
    const auto number = static_cast<std::uint32_t>(files_.size());
    for (TensorInfo& tensor : shard.parsed.tensors) {
      tensor.shard = number;
      const auto [it, is_new] = shard_of_.emplace(tensor.name, number);
      if (!is_new) {
        return fail(split_error(shard.mapped.path())
                        .of(tensor.name)
                        .at(tensor.offset)
                        .expects("each tensor in one shard")
                        .got("the same name in " + files_[it->second].path()));
      }
      tensors_.push_back(std::move(tensor));
    }
    if (files_.empty()) metadata_ = std::move(shard.parsed.metadata);
    files_.push_back(std::move(shard.mapped));
    return {};
  }

  Result<std::unique_ptr<Container>> finish() && {
    const auto total = metadata_.integer(kSplitTensors);
    if (total != static_cast<std::int64_t>(tensors_.size())) {
      return fail(split_error(files_.front().path())
                      .of(std::string(kSplitTensors))
                      .expects(fmt::format("{}, the tensors of all shards", tensors_.size()))
                      .got(total ? std::to_string(*total) : "no such key"));
    }
    // The container is one file to its readers; a copy of the metadata must not claim shards.
    for (const std::string_view key : {kSplitNo, kSplitCount, kSplitTensors}) metadata_.erase(key);
    return std::make_unique<MappedContainer>("gguf", std::move(files_), std::move(tensors_),
                                             std::move(metadata_));
  }

 private:
  std::vector<MappedFile> files_;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string, std::uint32_t> shard_of_;
  Metadata metadata_;
};

Result<std::unique_ptr<Container>> open_split(const fs::path& path, Shard first,
                                              std::int64_t count) {
  if (count > kMaxShards) {
    return fail(split_error(path)
                    .of(std::string(kSplitCount))
                    .expects(fmt::format("at most {} shards", kMaxShards))
                    .got(std::to_string(count)));
  }
  const auto no = first.parsed.metadata.integer(kSplitNo);
  if (no.has_value() && *no > 0 && *no < count) {
    return fail(
        invalid("opening a split GGUF file")
            .in(path.string())
            .expects("the first shard, which has the metadata")
            .got(fmt::format("shard {} of {}", *no + 1, count))
            .advise(fmt::format("open the file that ends in {:05}-of-{:05}.gguf", 1, count)));
  }
  QUANTLANE_TRY(const std::string prefix, split_prefix(path, count));
  QUANTLANE_TRY_VOID(check_split_keys(first, 0, count));
  SplitFile split;
  QUANTLANE_TRY_VOID(split.add(std::move(first)));
  for (std::int64_t number = 1; number < count; ++number) {
    const fs::path name = fmt::format("{}{:05}-of-{:05}.gguf", prefix, number + 1, count);
    std::error_code ignored;
    if (!fs::exists(name, ignored)) {
      return fail(not_found("opening a shard of a split GGUF file")
                      .in(name.string())
                      .expects(fmt::format("all {} shards in one folder", count))
                      .advise("download the missing file into the same folder"));
    }
    QUANTLANE_TRY(Shard shard, open_shard(name));
    QUANTLANE_TRY_VOID(check_split_keys(shard, number, count));
    QUANTLANE_TRY_VOID(split.add(std::move(shard)));
  }
  return std::move(split).finish();
}

}  // namespace

bool is_gguf(const fs::path& path) {
  std::error_code code;
  if (!fs::is_regular_file(path, code)) return false;
  std::ifstream stream(path, std::ios::binary);
  std::array<char, kGgufMagic.size()> magic{};
  if (!stream.read(magic.data(), magic.size())) return path.extension() == ".gguf";
  return std::string_view(magic.data(), magic.size()) == kGgufMagic || path.extension() == ".gguf";
}

Result<std::unique_ptr<Container>> open_gguf(const fs::path& path) {
  QUANTLANE_TRY(Shard shard, open_shard(path));
  const std::int64_t count = shard.parsed.metadata.integer(kSplitCount).value_or(0);
  if (count > 1) return open_split(path, std::move(shard), count);
  std::vector<MappedFile> files;
  files.push_back(std::move(shard.mapped));
  return std::make_unique<MappedContainer>(
      "gguf", std::move(files), std::move(shard.parsed.tensors), std::move(shard.parsed.metadata));
}

constinit const ContainerKind kGgufKind = {
    .name = "gguf", .recognises = is_gguf, .open = open_gguf};

}  // namespace quantlane
