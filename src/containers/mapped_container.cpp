#include "containers/mapped_container.h"

#include <utility>

#include "core/check.h"

namespace quantlane {

MappedContainer::MappedContainer(std::string_view kind, std::vector<MappedFile> files,
                                 std::vector<TensorInfo> tensors, Metadata metadata)
    : kind_(kind),
      files_(std::move(files)),
      tensors_(std::move(tensors)),
      metadata_(std::move(metadata)) {
  paths_.reserve(files_.size());
  for (const MappedFile& file : files_) paths_.push_back(file.path());
  by_name_.reserve(tensors_.size());
  for (const TensorInfo& tensor : tensors_) {
    const std::uint64_t available = files_[tensor.shard].bytes().size();
    QUANTLANE_CHECK(tensor.offset <= available && tensor.size_bytes <= available - tensor.offset);
    QUANTLANE_CHECK(by_name_.emplace(tensor.name, &tensor).second);
  }
}

const TensorInfo* MappedContainer::find(std::string_view name) const {
  const auto it = by_name_.find(name);
  return it != by_name_.end() ? it->second : nullptr;
}

std::span<const std::byte> MappedContainer::bytes(const TensorInfo& tensor) const {
  QUANTLANE_CHECK(tensor.shard < files_.size());
  return files_[tensor.shard].bytes().subspan(tensor.offset, tensor.size_bytes);
}

void MappedContainer::drop(const TensorInfo& tensor) const { drop(tensor, 0, tensor.size_bytes); }

void MappedContainer::drop(const TensorInfo& tensor, std::uint64_t offset,
                           std::uint64_t size) const {
  QUANTLANE_CHECK(offset <= tensor.size_bytes && size <= tensor.size_bytes - offset);
  files_[tensor.shard].drop(tensor.offset + offset, size);
}

}  // namespace quantlane
