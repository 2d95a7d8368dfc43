// Test support for dialects.
#pragma once
#include <algorithm>
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

// Another type of the same width.
inline DType impostor(DType dtype) {
  switch (dtype_row(dtype).size_bytes) {
    case 1:
      return dtype == DType::kBool ? DType::kI8 : DType::kBool;
    case 2:
      return DType::kU16;
    case 4:
      return DType::kU32;
    default:
      return DType::kU64;
  }
}

// As they are, the tensors of the Linear "m" verify and unpack; each one missing (unless its name
// is in `optional`), of another type or of another shape is an error that names it.
inline void expect_every_tensor_checked(const Dialect& dialect, const LinearScheme& scheme,
                                        std::vector<StoredTensor> tensors, std::int64_t rows,
                                        std::int64_t cols, const fs::path& folder,
                                        const std::vector<std::string>& optional = {}) {
  const auto error_of = [&](const std::vector<StoredTensor>& damaged) {
    const auto container = container_of(damaged, folder / "m.safetensors");
    const auto linear = dialect.unpack(*container, "m", scheme, rows, cols);
    const auto verified = dialect.verify(*container, "m", scheme, rows, cols);
    EXPECT_EQ(linear.has_value(), verified.has_value());
    if (linear) return Error{};
    EXPECT_EQ(linear.error().message(), verified.error().message());
    EXPECT_NE(linear.error().file.find("m.safetensors"), std::string::npos);
    return linear.error();
  };
  EXPECT_EQ(error_of(tensors).message(), Error{}.message());
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const std::string name = tensors[i].name;
    auto damaged = tensors;
    damaged.erase(damaged.begin() + static_cast<std::ptrdiff_t>(i));
    const bool needed = std::ranges::find(optional, name) == optional.end();
    EXPECT_EQ(error_of(damaged).tensor, needed ? name : "") << name << " missing";
    damaged = tensors;
    damaged[i].dtype = impostor(tensors[i].dtype);
    EXPECT_EQ(error_of(damaged).tensor, name) << name << " of another type";
    damaged = tensors;
    damaged[i].shape.push_back(3);
    damaged[i].bytes += tensors[i].bytes + tensors[i].bytes;
    EXPECT_EQ(error_of(damaged).tensor, name) << name << " of another shape";
  }
}

inline std::string repeated(const std::string& item, std::size_t count) {
  std::string text;
  while (count-- > 0) text += item;
  return text;
}

}  // namespace quantlane::test
