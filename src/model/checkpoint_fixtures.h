// Test support: small checkpoints, changed copies of them, and the same models as GGUF.
#pragma once
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "containers/container.h"
#include "core/file.h"
#include "core/json.h"
#include "core/scratch_folder_for_test.h"
#include "model/checkpoint.h"

namespace quantlane::fixtures {

inline constexpr const char* kFamilies[] = {"llama",   "llama-bias", "mistral",
                                            "qwen2",   "qwen3",      "gemma3",
                                            "mixtral", "qwen3-moe",  "qwen3-moe-step"};
// Those with all experts of a layer in one tensor too, in the folder NAME-fused.
inline constexpr const char* kFusedFamilies[] = {"mixtral", "qwen3-moe"};

inline const fs::path kCanary = QUANTLANE_SOURCE_DIR "/models/canary";

inline fs::path model_data(const std::string& name) {
  return fs::path(QUANTLANE_SOURCE_DIR "/tests/data/models") / name;
}
inline fs::path shared_data(const std::string& name) {
  return fs::path(QUANTLANE_SOURCE_DIR "/../shared/data") / name;
}

// Unpacks an .xz file; false where that fails (no xz program).
inline bool unpack_xz(const fs::path& packed, const fs::path& target) {
  const std::string command = "xz -dc '" + packed.string() + "' > '" + target.string() + "'";
  return std::system(command.c_str()) == 0;
}

inline Json read_json(const fs::path& path) {
  auto text = read_text(path);
  EXPECT_TRUE(text.has_value()) << path;
  auto json = Json::parse(text.value_or("null"), path.string());
  EXPECT_TRUE(json.has_value()) << path;
  return json.value_or(Json());
}

inline std::shared_ptr<const Checkpoint> open_checkpoint(const fs::path& path) {
  auto checkpoint = Checkpoint::open(path);
  if (checkpoint) return *checkpoint;
  ADD_FAILURE() << checkpoint.error().message();
  return nullptr;
}

// The tensors and the configuration of a folder, to be changed and written elsewhere.
struct EditableCheckpoint {
  struct Tensor {
    PlannedTensor plan;
    std::vector<std::byte> bytes;
  };
  Json config;
  std::vector<Tensor> tensors;

  static EditableCheckpoint read(const fs::path& folder) {
    EditableCheckpoint read;
    read.config = read_json(folder / "config.json");
    const auto container = open_container(folder);
    EXPECT_TRUE(container.has_value());
    for (const TensorInfo& tensor : (*container)->tensors()) {
      const auto bytes = (*container)->bytes(tensor);
      read.tensors.push_back({{.name = tensor.name, .type = tensor.type, .shape = tensor.shape},
                              {bytes.begin(), bytes.end()}});
    }
    return read;
  }
  Tensor& tensor(const std::string& name) {
    for (Tensor& tensor : tensors) {
      if (tensor.plan.name == name) return tensor;
    }
    ADD_FAILURE() << "no tensor " << name;
    return tensors.front();
  }
  void erase(const std::string& name) {
    std::erase_if(tensors, [&](const Tensor& tensor) { return tensor.plan.name == name; });
  }
  void write(const fs::path& folder) const {
    EXPECT_TRUE(write_text(folder / "config.json", config.dump(2)).has_value());
    std::vector<PlannedTensor> plan;
    for (const Tensor& tensor : tensors) plan.push_back(tensor.plan);
    auto writer = create_safetensors(folder / "model.safetensors", plan, {});
    ASSERT_TRUE(writer.has_value()) << writer.error().message();
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      ASSERT_TRUE((*writer)->write(i, tensors[i].bytes).has_value());
    }
    ASSERT_TRUE((*writer)->commit().has_value());
  }
};

// The model as a GGUF file of float32 tensors, by the conventions of llama.cpp's converter.
inline void write_gguf(const Checkpoint& source, const fs::path& path) {
  const Graph& graph = *source.graph();
  const ModelConfig& config = graph.config;
  const Architecture& row = *source.architecture();
  std::vector<PlannedTensor> plan;
  std::vector<std::vector<float>> data;
  for (const Parameter& p : graph.parameters) {
    const auto weight = source.weight(p);
    ASSERT_TRUE(weight.has_value()) << weight.error().message();
    std::vector<float> logical(static_cast<std::size_t>(p.rows * p.cols));
    weight->decode_rows(0, p.rows, logical.data());
    std::vector<float> stored = logical;
    const bool vector = !is_matrix(p.role);
    const bool norm = is_norm(p.role);
    const bool qk = p.role == Role::kQuery || p.role == Role::kKey || p.role == Role::kQueryBias ||
                    p.role == Role::kKeyBias;
    if (norm && row.stores_norms_minus_one) {
      for (float& value : stored) value += 1;
    }
    if (qk && row.permutes_qk) {
      const std::int64_t width = vector ? 1 : p.cols;
      const std::int64_t rows = vector ? p.cols : p.rows;
      for (std::int64_t r = 0; r < rows; ++r) {
        std::copy_n(logical.begin() + r * width, width,
                    stored.begin() + permuted_qk_row(r, config.head_dim) * width);
      }
    }
    const std::string name = gguf_name(p);
    if (p.expert > 0) {  // behind the experts before it
      const auto at = std::ranges::find(plan, name, &PlannedTensor::name) - plan.begin();
      auto& all = data.at(static_cast<std::size_t>(at));
      all.insert(all.end(), stored.begin(), stored.end());
      continue;
    }
    std::vector<std::int64_t> shape = {p.cols};
    if (!vector) shape.insert(shape.begin(), p.rows);
    if (p.expert == 0) shape.insert(shape.begin(), config.experts.count);
    plan.push_back({.name = name, .type = {}, .shape = std::move(shape)});
    data.push_back(std::move(stored));
  }
  if (auto divisors = rope_frequency_divisors(config); !divisors.empty()) {
    plan.push_back({.name = "rope_freqs.weight",
                    .type = {},
                    .shape = {static_cast<std::int64_t>(divisors.size())}});
    data.push_back(std::move(divisors));
  }
  Metadata metadata;
  row.to_gguf(config, metadata);
  metadata.set("tokenizer.ggml.model", std::string("none"));  // lets llama.cpp load it too
  auto writer = create_gguf(path, plan, metadata);
  ASSERT_TRUE(writer.has_value()) << writer.error().message();
  for (std::size_t i = 0; i < data.size(); ++i) {
    ASSERT_TRUE((*writer)->write(i, std::as_bytes(std::span(data[i]))).has_value());
  }
  ASSERT_TRUE((*writer)->commit().has_value());
}

}  // namespace quantlane::fixtures
