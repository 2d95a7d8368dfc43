// A quantization_config, a zero byte and the bytes of a safetensors file: every dialect that claims
// the configuration reads every module of the file, or says what is wrong. What it reads has as
// many codes and scales as the shape asks for, and decodes.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "containers/dialects/dialect.h"
#include "containers/safetensors.h"
#include "core/check.h"

namespace {

constexpr std::int64_t kMostValues = 1 << 16;

class Memory final : public quantlane::Container {
 public:
  Memory(std::vector<quantlane::TensorInfo> tensors, std::span<const std::byte> bytes)
      : tensors_(std::move(tensors)), bytes_(bytes) {}
  [[nodiscard]] std::string_view kind() const override { return "safetensors"; }
  [[nodiscard]] std::span<const quantlane::TensorInfo> tensors() const override { return tensors_; }
  [[nodiscard]] const quantlane::TensorInfo* find(std::string_view name) const override {
    const auto found = std::ranges::find(tensors_, name, &quantlane::TensorInfo::name);
    return found == tensors_.end() ? nullptr : &*found;
  }
  [[nodiscard]] std::span<const std::byte> bytes(const quantlane::TensorInfo& t) const override {
    return bytes_.subspan(t.offset, t.size_bytes);
  }
  [[nodiscard]] const quantlane::Metadata& metadata() const override { return metadata_; }
  [[nodiscard]] std::span<const std::string> files() const override { return files_; }
  void drop(const quantlane::TensorInfo&) const override {}
  void drop(const quantlane::TensorInfo&, std::uint64_t, std::uint64_t) const override {}

 private:
  std::vector<quantlane::TensorInfo> tensors_;
  std::span<const std::byte> bytes_;
  quantlane::Metadata metadata_;
  std::vector<std::string> files_ = {"input"};
};

void read_module(const quantlane::Dialect& dialect, const Memory& file, const std::string& module,
                 const quantlane::LinearScheme& scheme, std::int64_t rows, std::int64_t cols) {
  const auto verified = dialect.verify(file, module, scheme, rows, cols);
  const auto linear = dialect.unpack(file, module, scheme, rows, cols);
  if (!verified) {
    QUANTLANE_CHECK(!linear && !verified.error().message().empty());
    return;
  }
  if (!linear) return;
  const quantlane::QuantTensor& tensor = linear->weight;
  QUANTLANE_CHECK(tensor.rows == rows && tensor.cols == cols);
  QUANTLANE_CHECK(static_cast<std::int64_t>(tensor.codes.size()) == rows * cols);
  QUANTLANE_CHECK(static_cast<std::int64_t>(tensor.scales.size()) >=
                  tensor.scheme.scale_count(rows, cols));
  std::vector<float> values(static_cast<std::size_t>(rows * cols));
  tensor.decode_rows(0, rows, values.data());
}

// Shapes that the module may have, judged by the extents of its tensors.
std::set<std::pair<std::int64_t, std::int64_t>> shapes_of(const Memory& file,
                                                          const std::string& module) {
  std::set<std::pair<std::int64_t, std::int64_t>> shapes;
  for (const quantlane::TensorInfo& tensor : file.tensors()) {
    if (!tensor.name.starts_with(module + ".") || tensor.shape.size() != 2) continue;
    for (const std::int64_t factor : {1, 2, 4, 8, 16}) {
      const std::int64_t a = tensor.shape[0];
      const std::int64_t b = tensor.shape[1];
      if (a < 1 || b < 1 || a > kMostValues || b > kMostValues) continue;
      shapes.insert({a, b * factor});
      shapes.insert({b, a * factor});  // stored transposed, packed along the inputs
      shapes.insert({b * factor, a});  // packed along the outputs
      if (b == 1) shapes.insert({factor, 2 * a / factor});  // flattened
    }
  }
  std::erase_if(shapes,
                [](const auto& s) { return s.second < 1 || s.first * s.second > kMostValues; });
  return shapes;
}

std::set<std::string> modules_of(const Memory& file) {
  std::set<std::string> modules;
  for (const quantlane::TensorInfo& tensor : file.tensors()) {
    for (std::size_t dot = tensor.name.find('.'); dot != std::string::npos;
         dot = tensor.name.find('.', dot + 1)) {
      modules.insert(tensor.name.substr(0, dot));
    }
    if (tensor.name.ends_with("_blocks")) {
      modules.insert(tensor.name.substr(0, tensor.name.rfind('.')) + ".0.up_proj");
      modules.insert(tensor.name.substr(0, tensor.name.rfind('.')) + ".1.down_proj");
    }
  }
  return modules;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto* zero = std::find(data, data + size, std::uint8_t{0});
  if (zero == data + size) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data),
                              static_cast<std::size_t>(zero - data));
  const auto config = quantlane::Json::parse(text, "config");
  if (!config) return 0;
  const auto bytes = std::as_bytes(std::span(zero + 1, data + size));
  auto parsed = quantlane::parse_safetensors(bytes, "input");
  if (!parsed || parsed->tensors.size() > 64) return 0;
  const Memory file(std::move(parsed->tensors), bytes);
  for (const quantlane::Dialect* dialect : quantlane::dialects()) {
    if (!dialect->recognises(*config)) continue;
    const auto map = dialect->read_map({.config = *config,
                                        .container = file,
                                        .origin = "config",
                                        .model_dtype = quantlane::DType::kBF16});
    if (!map) {
      QUANTLANE_CHECK(!map.error().message().empty());
      continue;
    }
    for (const std::string& module : modules_of(file)) {
      const auto scheme = (*map)->scheme_of(module);
      if (!scheme) continue;
      auto shapes = shapes_of(file, module);
      shapes.insert({2, 64});
      for (const auto& [rows, cols] : shapes) {
        read_module(*dialect, file, module, *scheme, rows, cols);
      }
    }
  }
  return 0;
}
