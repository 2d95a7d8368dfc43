#include "recommend/module_facts.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <set>
#include <utility>

#include "core/json.h"

namespace quantlane {
namespace {

// Reads one module, with whatever tensors it has.
class ModuleReader {
 public:
  ModuleReader(const ModuleSource& source, std::string module)
      : container_(source.container), source_(source), module_(std::move(module)) {}

  [[nodiscard]] LinearFacts read() const {
    LinearFacts linear;
    linear.module = module_;
    linear.stored_plain = is_plain();
    const bool kept_by_class = module_.ends_with("lm_head") || module_.ends_with("embed_tokens");
    if (source_.map != nullptr && !(kept_by_class && linear.stored_plain)) {
      linear.scheme = source_.map->scheme_of(module_);
      linear.kept_plain = source_.map->keeps_plain(module_);
    }
    linear.stored_quantized = is_quantized();
    linear.stored_bits = bits_of_words();
    set_shape(linear);
    linear.stored_zeros = find("weight_zero_point") != nullptr;
    linear.stored_order = find("weight_g_idx") != nullptr;
    if (source_.read_values) {
      read_scales(linear);
      linear.bad_code = damaged_code();
    }
    return linear;
  }

 private:
  [[nodiscard]] const TensorInfo* find(std::string_view suffix) const {
    return container_.find(module_ + "." + std::string(suffix));
  }

  [[nodiscard]] bool is_plain() const {
    const TensorInfo* weight = find("weight");
    return weight != nullptr && weight->type.block == nullptr && is_float(weight->type.plain) &&
           dtype_row(weight->type.plain).size_bytes > 1;
  }

  [[nodiscard]] bool is_quantized() const {
    constexpr std::array<std::string_view, 5> kParts = {
        "weight_scale", "weight_scale_inv", "weight_packed", "qweight", "weight.absmax"};
    return std::ranges::any_of(kParts,
                               [&](std::string_view part) { return find(part) != nullptr; });
  }

  // Zero points [groups, rows * bits / 32] beside scales [groups, rows].
  [[nodiscard]] std::int64_t bits_of_words() const {
    const TensorInfo* zeros = find("qzeros");
    const TensorInfo* scales = find("scales");
    if (zeros == nullptr || scales == nullptr || scales->cols() < 1) return 0;
    const std::int64_t bits = 32 * zeros->cols();
    return bits % scales->cols() == 0 ? bits / scales->cols() : 0;
  }

  void set_shape(LinearFacts& linear) const {
    const int bits = linear.scheme ? linear.scheme->weight.bits : 4;
    if (const TensorInfo* words = find("qweight")) {
      const bool awq = source_.dialect == "awq";
      linear.rows = awq ? words->shape[1] * 8 : words->shape[1];
      linear.cols = awq ? words->shape[0] : words->shape[0] * 32 / bits;
      return;
    }
    const TensorInfo* packed = find("weight_packed");
    const TensorInfo* codes = packed != nullptr ? packed : find("weight");
    linear.rows = codes->shape[0];
    linear.cols = codes->shape[1];
    const bool bytes = codes->type.plain == DType::kU8 && codes->type.block == nullptr;
    if (bytes) linear.cols *= 2;
    if (packed != nullptr && !bytes) linear.cols = linear.cols * 32 / bits;
    if (const TensorInfo* shape = find("weight_shape"); shape != nullptr && source_.read_values) {
      const auto values = container_.bytes(*shape);
      if (shape->type.plain == DType::kI64 && values.size() == 16) {
        std::memcpy(&linear.rows, values.data(), 8);
        std::memcpy(&linear.cols, values.data() + 8, 8);
      }
    }
    read_state_shape(linear);
  }

  // bitsandbytes flattens the matrix and keeps its shape in JSON.
  void read_state_shape(LinearFacts& linear) const {
    const TensorInfo* state = find("weight.quant_state.bitsandbytes__nf4");
    if (state == nullptr) state = find("weight.quant_state.bitsandbytes__fp4");
    if (state == nullptr || !source_.read_values) return;
    const auto bytes = container_.bytes(*state);
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    const auto json = Json::parse(text, state->name);
    if (!json || (*json)["shape"].items().size() != 2) return;
    linear.rows = (*json)["shape"].items()[0].integer();
    linear.cols = (*json)["shape"].items()[1].integer();
  }

  void read_scales(LinearFacts& linear) const {
    constexpr std::array<std::string_view, 7> kScales = {
        "weight_scale", "weight_scale_inv",  "scales", "weight_scale_2", "weight_global_scale",
        "input_scale",  "input_global_scale"};
    for (const std::string_view suffix : kScales) {
      const TensorInfo* tensor = find(suffix);
      if (tensor == nullptr || tensor->type.block != nullptr) continue;
      if (tensor->type.plain == DType::kU8) {
        if (linear.bad_scale.empty()) linear.bad_scale = damaged_exponent(suffix, *tensor, linear);
        continue;
      }
      if (!is_float(tensor->type.plain)) continue;
      std::vector<float> values(static_cast<std::size_t>(tensor->element_count()));
      decode_plain(tensor->type.plain, container_.bytes(*tensor).data(), tensor->element_count(),
                   values.data());
      if (linear.bad_scale.empty()) linear.bad_scale = damage(suffix, *tensor, values);
      if (values.size() != 1) continue;
      if (suffix == "weight_global_scale" || suffix == "weight_scale_2") {
        linear.tensor_scale = values[0];
      } else if (suffix.starts_with("input_")) {
        linear.input_scale = values[0];
      }
    }
  }

  // "row 1, column 2" of a matrix, "[3]" of a vector.
  static std::string place(const TensorInfo& tensor, std::size_t index) {
    const auto cols = static_cast<std::size_t>(tensor.cols());
    if (tensor.shape.size() != 2 || cols < 2) return "[" + std::to_string(index) + "]";
    return " in row " + std::to_string(index / cols) + ", column " + std::to_string(index % cols);
  }

  // Of the shared exponents of MX, which are stored as bytes: 0xFF is NaN.
  [[nodiscard]] std::string damaged_exponent(std::string_view suffix, const TensorInfo& tensor,
                                             const LinearFacts& linear) const {
    if (!linear.scheme || linear.scheme->weight.scale_dtype != DType::kF8E8M0) return "";
    const auto bytes = container_.bytes(tensor);
    const auto bad = std::ranges::find(bytes, std::byte{0xFF});
    if (bad == bytes.end()) return "";
    return std::string(suffix) + place(tensor, static_cast<std::size_t>(bad - bytes.begin())) +
           " is NaN (0xFF)";
  }

  // Of FP8 (E4M3) all bits but the sign are NaN.
  [[nodiscard]] std::string damaged_code() const {
    const TensorInfo* weight = find("weight");
    if (weight == nullptr || weight->type != ElementType{.plain = DType::kF8E4M3}) return "";
    const auto bytes = container_.bytes(*weight);
    const auto bad = std::ranges::find_if(
        bytes, [](std::byte code) { return (code & std::byte{0x7F}) == std::byte{0x7F}; });
    if (bad == bytes.end()) return "";
    return "weight" + place(*weight, static_cast<std::size_t>(bad - bytes.begin())) + " is NaN";
  }

  // A scale of FP8 under one of the tensor may be too small for its type, and then is zero; units
  // take its sign for none (UE4M3). Other scales of weights may hold the sign of their codes, as
  // AutoRound writes them.
  static std::string damage(std::string_view suffix, const TensorInfo& tensor,
                            std::span<const float> values) {
    const bool may_vanish = tensor.type.plain == DType::kF8E4M3;
    constexpr std::array<std::string_view, 3> kSigned = {"weight_scale", "weight_scale_inv",
                                                         "scales"};
    const bool may_be_negative = dtype_row(tensor.type.plain).size_bytes > 1 &&
                                 std::ranges::find(kSigned, suffix) != kSigned.end();
    for (std::size_t i = 0; i < values.size(); ++i) {
      const bool finite = std::isfinite(values[i]);
      if (finite && (values[i] > 0 || (may_vanish && values[i] == 0))) continue;
      if (finite && values[i] < 0 && may_be_negative) continue;
      const std::string what = !finite         ? "is not finite"
                               : values[i] < 0 ? "is negative"
                                               : "is zero";
      return std::string(suffix) + "[" + std::to_string(i) + "] " + what;
    }
    return "";
  }

  const Container& container_;
  const ModuleSource& source_;
  std::string module_;
};

}  // namespace

std::vector<std::string> modules_of(const Container& container) {
  constexpr std::array<std::string_view, 3> kCodes = {".weight", ".weight_packed", ".qweight"};
  std::vector<std::string> modules;
  std::set<std::string, std::less<>> seen;
  for (const TensorInfo& tensor : container.tensors()) {
    for (const std::string_view suffix : kCodes) {
      if (!tensor.name.ends_with(suffix) || tensor.shape.size() != 2) continue;
      std::string module = tensor.name.substr(0, tensor.name.size() - suffix.size());
      if (seen.insert(module).second) modules.push_back(std::move(module));
    }
  }
  return modules;
}

LinearFacts read_module(const ModuleSource& source, std::string module) {
  return ModuleReader(source, std::move(module)).read();
}

}  // namespace quantlane
