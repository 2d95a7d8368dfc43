#include "recommend/preflight_facts.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "core/check.h"
#include "core/file.h"

namespace quantlane {
namespace {

constexpr std::uint64_t kLargestConfig = std::uint64_t{16} << 20;

// Tensors without bytes: what a plan says of an artefact.
class PlannedContainer final : public Container {
 public:
  explicit PlannedContainer(std::span<const PlannedTensor> plan) {
    for (const PlannedTensor& tensor : plan) {
      tensors_.push_back({.name = tensor.name, .type = tensor.type, .shape = tensor.shape});
    }
    for (const TensorInfo& tensor : tensors_) by_name_[tensor.name] = &tensor;
  }
  [[nodiscard]] std::string_view kind() const override { return "safetensors"; }
  [[nodiscard]] std::span<const TensorInfo> tensors() const override { return tensors_; }
  [[nodiscard]] const TensorInfo* find(std::string_view name) const override {
    const auto found = by_name_.find(name);
    return found == by_name_.end() ? nullptr : found->second;
  }
  [[nodiscard]] std::span<const std::byte> bytes(const TensorInfo&) const override { return {}; }
  [[nodiscard]] const Metadata& metadata() const override { return metadata_; }
  [[nodiscard]] std::span<const std::string> files() const override { return files_; }
  void drop(const TensorInfo&) const override {}
  void drop(const TensorInfo&, std::uint64_t, std::uint64_t) const override {}

 private:
  std::vector<TensorInfo> tensors_;
  std::map<std::string, const TensorInfo*, std::less<>> by_name_;
  Metadata metadata_;
  std::vector<std::string> files_ = {"the planned artefact"};
};

std::string one_line(const Error& error) {
  std::string text = error.tensor.empty() ? error.attempted : error.tensor;
  if (!error.expected.empty()) text += ": expected " + error.expected;
  if (!error.found.empty()) text += ", found " + error.found;
  return text;
}

DType dtype_of(const Json& config) {
  std::string_view name = config["dtype"].string(config["torch_dtype"].string("bfloat16"));
  if (name.starts_with("torch.")) name.remove_prefix(6);
  if (name == "float16") return DType::kF16;
  return name == "float32" ? DType::kF32 : DType::kBF16;
}

// The modules that have a matrix, in file order.
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

// Reads one module, with whatever tensors it has.
class ModuleReader {
 public:
  ModuleReader(const Container& container, const ArtefactFacts& facts, std::string module)
      : container_(container), facts_(facts), module_(std::move(module)) {}

  LinearFacts read(const QuantizationMap* map) const {
    LinearFacts linear;
    linear.module = module_;
    const bool stored_plain = is_plain();
    const bool kept_by_class = module_.ends_with("lm_head") || module_.ends_with("embed_tokens");
    if (map != nullptr && !(kept_by_class && stored_plain)) linear.scheme = map->scheme_of(module_);
    set_shape(linear);
    linear.stored_zeros = find("weight_zero_point") != nullptr;
    linear.stored_order = find("weight_g_idx") != nullptr;
    if (!facts_.has_values) return linear;
    read_scales(linear);
    if (const TensorInfo* zeros = find("qzeros")) linear.zero_word = only_word(*zeros);
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

  void set_shape(LinearFacts& linear) const {
    const int bits = linear.scheme ? linear.scheme->weight.bits : 4;
    if (const TensorInfo* words = find("qweight")) {
      const bool awq = facts_.dialect == "awq";
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
    if (const TensorInfo* shape = find("weight_shape"); shape != nullptr && facts_.has_values) {
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
    if (state == nullptr || !facts_.has_values) return;
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
      if (tensor == nullptr || tensor->type.block != nullptr || !is_float(tensor->type.plain)) {
        continue;
      }
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

  // A scale of FP8 under one of the tensor may be too small for its type, and then is zero.
  static std::string damage(std::string_view suffix, const TensorInfo& tensor,
                            std::span<const float> values) {
    const bool may_vanish = tensor.type.plain == DType::kF8E4M3;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const bool finite = std::isfinite(values[i]);
      if (finite && (values[i] > 0 || (may_vanish && values[i] == 0))) continue;
      const std::string what = !finite         ? "is not finite"
                               : values[i] < 0 ? "is negative"
                                               : "is zero";
      return std::string(suffix) + "[" + std::to_string(i) + "] " + what;
    }
    return "";
  }

  [[nodiscard]] std::optional<std::uint32_t> only_word(const TensorInfo& tensor) const {
    const auto bytes = container_.bytes(tensor);
    if (tensor.type.plain != DType::kI32 || bytes.size() < 4) return std::nullopt;
    std::uint32_t first = 0;
    std::memcpy(&first, bytes.data(), 4);
    for (std::size_t at = 0; at + 4 <= bytes.size(); at += 4) {
      if (std::memcmp(bytes.data() + at, &first, 4) != 0) return std::nullopt;
    }
    return first;
  }

  const Container& container_;
  const ArtefactFacts& facts_;
  std::string module_;
};

// Whose configuration this is, and what it says of each module.
void read_modules(const Container& container, ArtefactFacts& facts) {
  std::unique_ptr<QuantizationMap> map;
  if (facts.quantized()) {
    for (const Dialect* dialect : dialects()) {
      if (!facts.dialect.empty() || !dialect->recognises(facts.quantization)) continue;
      facts.dialect = dialect->name;
      auto read = dialect->read_map({.config = facts.quantization,
                                     .container = container,
                                     .origin = "config.json",
                                     .model_dtype = facts.dtype});
      if (read) {
        map = std::move(*read);
      } else {
        facts.unreadable = one_line(read.error());
      }
    }
  }
  for (const TensorInfo& tensor : container.tensors()) facts.tensors.push_back(tensor.name);
  for (std::string& module : modules_of(container)) {
    facts.linears.push_back(ModuleReader(container, facts, std::move(module)).read(map.get()));
  }
}

void set_config(Json config, ArtefactFacts& facts) {
  facts.config = std::move(config);
  facts.dtype = dtype_of(facts.config);
  facts.quantization = facts.config["quantization_config"];
  // Multimodal exports keep it with the text model.
  if (facts.quantization.is_null()) {
    facts.quantization = facts.config["text_config"]["quantization_config"];
  }
}

Result<void> read_side_files(const std::filesystem::path& folder, ArtefactFacts& facts) {
  for (const Dialect* dialect : dialects()) {
    const std::filesystem::path path = folder / dialect->side_file;
    if (dialect->side_file.empty() || !std::filesystem::exists(path)) continue;
    QUANTLANE_TRY(const std::string text, read_text(path, kLargestConfig));
    QUANTLANE_TRY(Json contents, Json::parse(text, path.string()));
    const Json config = dialect->from_side_file(contents);
    if (facts.quantization.is_null()) facts.quantization = config;
    if (dialect->recognises(facts.quantization)) facts.side_file = std::move(contents);
  }
  return {};
}

// The name that engines give to the product that `module` becomes part of.
std::string fused_name(std::string_view module, bool& experts) {
  if (const auto at = module.find(".experts."); at != std::string_view::npos) {
    experts = true;
    return std::string(module.substr(0, at + 8));
  }
  struct Row {
    std::string_view shard;
    std::string_view whole;
  };
  constexpr std::array kRows = {Row{".q_proj", ".qkv_proj"},
                                Row{".k_proj", ".qkv_proj"},
                                Row{".v_proj", ".qkv_proj"},
                                Row{".gate_proj", ".gate_up_proj"},
                                Row{".up_proj", ".gate_up_proj"},
                                Row{".w1", ".w13"},
                                Row{".w3", ".w13"},
                                Row{".q_a_proj", ".fused_qkv_a_proj"},
                                Row{".kv_a_proj_with_mqa", ".fused_qkv_a_proj"}};
  for (const Row& row : kRows) {
    if (module.ends_with(row.shard)) {
      return std::string(module.substr(0, module.size() - row.shard.size())) +
             std::string(row.whole);
    }
  }
  return std::string(module);
}

Split split_of(std::string_view name) {
  for (const std::string_view suffix : {".qkv_proj", ".gate_up_proj", ".w13", ".q_b_proj",
                                        ".kv_b_proj", ".query_key_value", ".fc1"}) {
    if (name.ends_with(suffix)) return Split::kRows;
  }
  for (const std::string_view suffix : {".o_proj", ".down_proj", ".w2", ".out_proj", ".fc2"}) {
    if (name.ends_with(suffix)) return Split::kColumns;
  }
  return Split::kNone;
}

}  // namespace

bool ArtefactFacts::has_tensor_ending(std::string_view suffix) const {
  return std::ranges::any_of(tensors,
                             [&](const std::string& name) { return name.ends_with(suffix); });
}

const Json& ArtefactFacts::model_key(std::string_view key) const {
  const Json& own = config[key];
  return own.is_null() ? config["text_config"][key] : own;
}

std::vector<FusedLinears> ArtefactFacts::fused() const {
  std::vector<FusedLinears> products;
  std::map<std::string, std::size_t> index;
  for (const LinearFacts& linear : linears) {
    bool experts = false;
    const std::string name = fused_name(linear.module, experts);
    const auto [place, is_new] = index.emplace(name, products.size());
    if (is_new) {
      products.push_back({.name = name, .shards = {}, .split = split_of(name), .experts = experts});
    }
    products[place->second].shards.push_back(&linear);
  }
  return products;
}

Result<ArtefactFacts> read_artefact_facts(const std::filesystem::path& path, bool read_values) {
  QUANTLANE_TRY(const auto container, open_container(path));
  ArtefactFacts facts;
  facts.container = container->kind();
  facts.has_values = read_values;
  if (facts.container == "gguf") {
    for (const TensorInfo& tensor : container->tensors()) facts.tensors.push_back(tensor.name);
    return facts;
  }
  const std::filesystem::path folder =
      std::filesystem::is_directory(path) ? path : path.parent_path();
  const std::string origin = (folder / "config.json").string();
  QUANTLANE_TRY(const std::string text, read_text(origin, kLargestConfig));
  QUANTLANE_TRY(Json config, Json::parse(text, origin));
  if (!config.is_object()) {
    return fail(corrupt("reading the model configuration").in(origin).expects("a JSON object"));
  }
  set_config(std::move(config), facts);
  QUANTLANE_TRY_VOID(read_side_files(folder, facts));
  facts.method = facts.quantization["quant_method"].string();
  read_modules(*container, facts);
  return facts;
}

Result<ArtefactFacts> planned_artefact_facts(const Json& config,
                                             std::span<const PlannedTensor> tensors) {
  ArtefactFacts facts;
  facts.container = "safetensors";
  set_config(config, facts);
  facts.method = facts.quantization["quant_method"].string();
  const PlannedContainer container(tensors);
  read_modules(container, facts);
  return facts;
}

}  // namespace quantlane
