// Adapters that tests read, merge and damage.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "model/adapters/adapter.h"
#include "model/checkpoint_fixtures.h"

namespace quantlane::fixtures {

inline fs::path adapter_data(const std::string& name) {
  return fs::path(QUANTLANE_SOURCE_DIR) / "tests/data/adapters" / name;
}

inline std::shared_ptr<const Checkpoint> open_base(const std::string& family) {
  return Checkpoint::open(model_data(family)).value();
}

inline Result<BoundAdapter> merge_of(const fs::path& path,
                                     const std::shared_ptr<const Checkpoint>& base) {
  ThreadPool pool(2);
  auto adapter = read_adapter(path, *base);
  if (!adapter) return std::unexpected(adapter.error());
  return bind_adapter(*adapter, base, pool);
}

// A copy of an adapter folder with its configuration and tensors changed.
struct AdapterCopy {
  explicit AdapterCopy(const std::string& variant) {
    for (const auto& entry : fs::directory_iterator(adapter_data(variant))) {
      fs::copy_file(entry.path(), scratch.path() / entry.path().filename());
    }
  }
  void configure(const std::function<void(Json&)>& change) const {
    Json config = read_json(scratch.path() / "adapter_config.json");
    change(config);
    EXPECT_TRUE(write_text(scratch.path() / "adapter_config.json", config.dump()).has_value());
  }
  // Writes the tensors again as `change` leaves them.
  void rewrite(const std::function<void(std::string& name, std::vector<std::int64_t>& shape,
                                        std::vector<float>& values)>& change) const {
    const fs::path path = scratch.path() / "adapter_model.safetensors";
    std::vector<PlannedTensor> plan;
    std::vector<std::vector<float>> contents;
    {
      const auto container = open_container(path).value();
      for (const TensorInfo& tensor : container->tensors()) {
        std::string name = tensor.name;
        std::vector<std::int64_t> shape = tensor.shape;
        std::vector<float> values(static_cast<std::size_t>(tensor.element_count()));
        EXPECT_TRUE(decode_rows(*container, tensor, 0, tensor.rows(), values.data()).has_value());
        change(name, shape, values);
        if (name.empty()) continue;
        plan.push_back({.name = name, .type = {.plain = DType::kF32}, .shape = shape});
        contents.push_back(std::move(values));
      }
    }
    const auto writer = create_safetensors(path, plan, {}).value();
    for (std::size_t i = 0; i < plan.size(); ++i) {
      EXPECT_TRUE(writer->write(i, std::as_bytes(std::span(contents[i]))).has_value());
    }
    EXPECT_TRUE(writer->commit().has_value());
  }
  [[nodiscard]] Result<BoundAdapter> merged(const std::string& family = "llama") const {
    return merge_of(scratch.path(), open_base(family));
  }
  [[nodiscard]] Error error(const std::string& family = "llama") const {
    const auto result = merged(family);
    EXPECT_FALSE(result.has_value());
    return result ? Error() : result.error();
  }
  ScratchFolder scratch;
};

}  // namespace quantlane::fixtures
