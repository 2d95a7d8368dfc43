#include "containers/gguf_split.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "containers/gguf.h"
#include "core/check.h"
#include "core/file.h"
#include "core/output_path.h"
#include "core/placing.h"

namespace quantlane {
namespace {

// "-00001-of-00003.gguf"
constexpr std::size_t kEndingLength = 20;

bool is_number(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

// What stands before "-00001-of-00003.gguf", if that is how `name` ends.
std::optional<std::string> split_stem(std::string_view name) {
  if (name.size() <= kEndingLength) return std::nullopt;
  const std::string_view ending = name.substr(name.size() - kEndingLength);
  if (ending[0] != '-' || !is_number(ending.substr(1, 5)) || ending.substr(6, 4) != "-of-" ||
      !is_number(ending.substr(10, 5)) || ending.substr(15) != ".gguf") {
    return std::nullopt;
  }
  return std::string(name.substr(0, name.size() - kEndingLength));
}

std::string stem_of(const fs::path& path) {
  const std::string name = path.filename().string();
  return split_stem(name).value_or(path.stem().string());
}

Metadata shard_metadata(const Metadata& whole, std::size_t shard, std::size_t shards,
                        std::size_t tensors) {
  Metadata metadata = shard == 0 ? whole : Metadata{};
  // Each file is aligned by its own key.
  if (const MetadataValue* alignment = whole.find(kGgufAlignmentKey)) {
    metadata.set(std::string(kGgufAlignmentKey), *alignment);
  }
  metadata.set("split.no", static_cast<std::uint16_t>(shard));
  metadata.set("split.tensors.count", static_cast<std::int32_t>(tensors));
  metadata.set("split.count", static_cast<std::uint16_t>(shards));
  return metadata;
}

class SplitWriter final : public ContainerWriter {
 public:
  SplitWriter(fs::path path, std::vector<std::vector<PlannedTensor>> plans, Metadata metadata,
              std::size_t tensors, ReplaceCheck may_replace)
      : path_(std::move(path)),
        plans_(std::move(plans)),
        metadata_(std::move(metadata)),
        tensors_(tensors),
        may_replace_(std::move(may_replace)) {}

  Result<void> write(std::size_t index, std::span<const std::byte> bytes) override {
    while (streams_.empty() || index >= first_ + plans_[streams_.size() - 1].size()) {
      if (streams_.size() == plans_.size()) {
        return fail(make_error(ErrorCode::kInternal, "writing tensor data")
                        .in(path_.string())
                        .expects(fmt::format("tensors below {}", tensors_))
                        .got(fmt::format("tensor number {}", index)));
      }
      QUANTLANE_TRY_VOID(open_next());
    }
    if (index < first_) {
      return fail(make_error(ErrorCode::kInternal, "writing tensor data")
                      .in(path_.string())
                      .expects("tensors in order")
                      .got(fmt::format("tensor number {}", index)));
    }
    return streams_.back()->write(index - first_, bytes);
  }

  Result<void> commit() override {
    while (streams_.size() < plans_.size()) QUANTLANE_TRY_VOID(open_next());
    QUANTLANE_TRY_VOID(streams_.back()->finish());
    for (const auto& stream : streams_) {
      if (!may_replace_ || !is_taken(stream->path())) continue;
      if (auto allowed = may_replace_(stream->path()); !allowed)
        return keep_beside(std::move(allowed).error(), stream->path());
    }
    // Readers open the first shard: it appears when all others are there, and one of an earlier
    // artefact goes before any of its own does.
    const fs::path first = gguf_shard_path(path_, 0, plans_.size());
    QUANTLANE_TRY(auto kept, remove_allowed(first, may_replace_));
    if (kept) return keep_beside(std::move(*kept), first);
    for (auto stream = streams_.rbegin(); stream != streams_.rend(); ++stream) {
      QUANTLANE_TRY(auto refused, (*stream)->place());
      if (refused) return keep_beside(std::move(*refused), (*stream)->path());
    }
    return {};
  }

 private:
  // All shards together, also those that are in place already.
  Result<void> keep_beside(Error reason, const fs::path& taken) {
    const fs::path folder = place_of_finished(path_);
    for (const auto& stream : streams_) {
      const fs::path file = folder / fs::path(stream->path()).filename();
      QUANTLANE_TRY_VOID(make_parent(file));
      QUANTLANE_TRY_VOID(stream->move_to(file));
    }
    return fail(taken_meanwhile("set of files", std::move(reason), taken, folder));
  }
  Result<void> open_next() {
    if (!streams_.empty()) {
      QUANTLANE_TRY_VOID(streams_.back()->finish());
      first_ += plans_[streams_.size() - 1].size();
    }
    const std::size_t shard = streams_.size();
    QUANTLANE_TRY(auto stream,
                  create_gguf_stream(gguf_shard_path(path_, shard, plans_.size()), plans_[shard],
                                     shard_metadata(metadata_, shard, plans_.size(), tensors_),
                                     may_replace_));
    streams_.push_back(std::move(stream));
    return {};
  }

  fs::path path_;
  std::vector<std::vector<PlannedTensor>> plans_;  // of each shard
  Metadata metadata_;
  std::size_t tensors_;
  ReplaceCheck may_replace_;
  std::vector<std::unique_ptr<TensorStream>> streams_;
  std::size_t first_ = 0;  // global index of the open shard's first tensor
};

}  // namespace

fs::path gguf_shard_path(const fs::path& path, std::size_t shard, std::size_t count) {
  return path.parent_path() /
         fmt::format("{}-{:05}-of-{:05}.gguf", stem_of(path), shard + 1, count);
}

std::vector<fs::path> existing_gguf_shards(const fs::path& path) {
  std::vector<fs::path> shards;
  const std::string stem = stem_of(path);
  std::error_code code;
  const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
  for (const auto& entry : fs::directory_iterator(folder, code)) {
    const fs::path name = entry.path().filename();
    if (split_stem(name.string()) == stem) shards.push_back(path.parent_path() / name);
  }
  std::ranges::sort(shards);
  return shards;
}

std::vector<std::uint32_t> gguf_shards_by_size(const std::vector<PlannedTensor>& plan,
                                               const Metadata& metadata, std::uint64_t max_bytes) {
  const std::uint64_t alignment = gguf_alignment(metadata);
  const auto aligned = [&](std::uint64_t bytes) {
    return (bytes + alignment - 1) / alignment * alignment;
  };
  std::vector<std::uint32_t> shard_of;
  std::uint32_t shard = 0;
  std::uint64_t header = gguf_header_bytes({}, shard_metadata(metadata, 0, 1, 0));
  std::uint64_t data = 0;
  bool empty = true;
  for (const PlannedTensor& tensor : plan) {
    const std::uint64_t info = gguf_header_bytes({tensor}, {}) - gguf_header_bytes({}, {});
    const std::uint64_t bytes = aligned(tensor.size_bytes());
    if (!empty && aligned(header + info) + data + bytes > max_bytes) {
      ++shard;
      header = gguf_header_bytes({}, shard_metadata(metadata, shard, 1, 0));
      data = 0;
    }
    header += info;
    data += bytes;
    empty = false;
    shard_of.push_back(shard);
  }
  return shard_of;
}

Result<std::unique_ptr<ContainerWriter>> create_split_gguf(
    const fs::path& path, const std::vector<PlannedTensor>& plan,
    const std::vector<std::uint32_t>& shard_of, const Metadata& metadata,
    ReplaceCheck may_replace) {
  QUANTLANE_CHECK(shard_of.size() == plan.size() && std::ranges::is_sorted(shard_of));
  const std::size_t shards = shard_of.empty() ? 1 : shard_of.back() + std::size_t{1};
  if (shards > kGgufMaxShards) {
    return fail(invalid("planning a split GGUF file")
                    .in(path.string())
                    .expects(fmt::format("at most {} files", kGgufMaxShards))
                    .got(fmt::format("{} files", shards))
                    .advise("allow larger files"));
  }
  std::vector<std::vector<PlannedTensor>> plans(shards);
  for (std::size_t i = 0; i < plan.size(); ++i) plans[shard_of[i]].push_back(plan[i]);
  return std::make_unique<SplitWriter>(path, std::move(plans), metadata, plan.size(),
                                       std::move(may_replace));
}

}  // namespace quantlane
