// The one Container: tensors of mapped files, whatever their format. Readers verify, then build it.
#pragma once
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "containers/container.h"
#include "core/file.h"

namespace quantlane {

class MappedContainer final : public Container {
 public:
  // `kind` has static storage. Names of `tensors` are unique, every TensorInfo lies inside
  // files[shard]: the reader has checked both.
  MappedContainer(std::string_view kind, std::vector<MappedFile> files,
                  std::vector<TensorInfo> tensors, Metadata metadata);

  [[nodiscard]] std::string_view kind() const override { return kind_; }
  [[nodiscard]] std::span<const TensorInfo> tensors() const override { return tensors_; }
  [[nodiscard]] const TensorInfo* find(std::string_view name) const override;
  [[nodiscard]] std::span<const std::byte> bytes(const TensorInfo& tensor) const override;
  [[nodiscard]] const Metadata& metadata() const override { return metadata_; }
  [[nodiscard]] std::span<const std::string> files() const override { return paths_; }
  void drop(const TensorInfo& tensor) const override;
  void drop(const TensorInfo& tensor, std::uint64_t offset, std::uint64_t size) const override;

 private:
  std::string_view kind_;
  std::vector<MappedFile> files_;
  std::vector<std::string> paths_;
  std::vector<TensorInfo> tensors_;
  std::unordered_map<std::string_view, const TensorInfo*> by_name_;
  Metadata metadata_;
};

}  // namespace quantlane
