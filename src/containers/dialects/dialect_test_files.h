// Test support for dialects.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "containers/container_test_files.h"
#include "containers/dialects/dialect.h"

namespace quantlane::test {

// A checkpoint without tensors, for configurations that do not ask for any.
class NoTensors final : public Container {
 public:
  [[nodiscard]] std::string_view kind() const override { return "safetensors"; }
  [[nodiscard]] std::span<const TensorInfo> tensors() const override { return {}; }
  [[nodiscard]] const TensorInfo* find(std::string_view) const override { return nullptr; }
  [[nodiscard]] std::span<const std::byte> bytes(const TensorInfo&) const override { return {}; }
  [[nodiscard]] const Metadata& metadata() const override { return metadata_; }
  [[nodiscard]] std::span<const std::string> files() const override { return files_; }
  void drop(const TensorInfo&) const override {}
  void drop(const TensorInfo&, std::uint64_t, std::uint64_t) const override {}

 private:
  Metadata metadata_;
  std::vector<std::string> files_ = {"empty.safetensors"};
};

struct StoredTensor {
  std::string name;
  DType dtype;
  std::vector<std::int64_t> shape;
  std::string bytes;
};

// A safetensors file of these tensors, opened.
inline std::unique_ptr<Container> container_of(const std::vector<StoredTensor>& tensors,
                                               const fs::path& file) {
  std::vector<PlannedTensor> plan;
  for (const StoredTensor& tensor : tensors) {
    plan.push_back({.name = tensor.name, .type = {.plain = tensor.dtype}, .shape = tensor.shape});
  }
  const auto writer = create_safetensors(file, plan, {});
  EXPECT_TRUE(writer.has_value());
  for (std::size_t i = 0; i < tensors.size(); ++i)
    EXPECT_TRUE((*writer)->write(i, bytes_of(tensors[i].bytes)).has_value());
  EXPECT_TRUE((*writer)->commit().has_value());
  auto container = open_container(file);
  EXPECT_TRUE(container.has_value()) << container.error().message();
  return container ? std::move(*container) : nullptr;
}

inline std::string repeated(const std::string& item, std::size_t count) {
  std::string text;
  while (count-- > 0) text += item;
  return text;
}

}  // namespace quantlane::test
