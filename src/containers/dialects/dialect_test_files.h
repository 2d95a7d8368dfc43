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

// `json` with the value at `path` (keys from the outermost in) replaced.
inline Json replaced(const Json& json, std::span<const std::string> path, const Json& value) {
  if (path.empty()) return value;
  Json result = json;
  result.set(path[0], replaced(json[path[0]], path.subspan(1), value));
  return result;
}

// The configuration reads as it is; with any of its keys of another type, and with any of its words
// another word, it is refused with an error that names the key. Keys in `ignored` are not read.
inline void expect_every_key_checked(const Dialect& dialect, const Json& config,
                                     const Container& container,
                                     const std::vector<std::string>& ignored = {}) {
  const auto read = [&](const Json& damaged) {
    return dialect.read_map({.config = damaged,
                             .container = container,
                             .origin = "config.json",
                             .model_dtype = DType::kBF16});
  };
  const auto whole = read(config);
  EXPECT_TRUE(whole.has_value()) << whole.error().message();
  const std::vector<Json> impostors = {
      true, 7, 1.5, "bogus", Json::array().push(7), Json::object({{"bogus", 7}})};
  const auto same_type = [](const Json& a, const Json& b) {
    return (a.is_bool() && b.is_bool()) || (a.is_integer() && b.is_integer()) ||
           (a.is_object() && b.is_object());
  };
  const auto visit = [&](const auto& self, const Json& object,
                         std::vector<std::string> path) -> void {
    for (const auto& [key, value] : object.members()) {
      if (key == "quant_method" || std::ranges::find(ignored, key) != ignored.end()) continue;
      path.push_back(key);
      std::string name;
      for (const std::string& part : path) name += (name.empty() ? "" : ".") + part;
      for (const Json& impostor : impostors) {
        if (same_type(value, impostor)) continue;
        const auto map = read(replaced(config, path, impostor));
        EXPECT_FALSE(map.has_value()) << name << ": " << impostor.dump();
        if (map) continue;
        EXPECT_EQ(map.error().file, "config.json");
        EXPECT_TRUE(name.starts_with(map.error().tensor)) << map.error().message();
        EXPECT_FALSE(map.error().expected.empty()) << map.error().message();
        EXPECT_FALSE(map.error().found.empty()) << map.error().message();
      }
      self(self, value, path);
      path.pop_back();
    }
  };
  visit(visit, config, {});
}

inline std::string repeated(const std::string& item, std::size_t count) {
  std::string text;
  while (count-- > 0) text += item;
  return text;
}

}  // namespace quantlane::test
