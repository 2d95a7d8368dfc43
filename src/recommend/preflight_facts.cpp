#include "recommend/preflight_facts.h"

#include <algorithm>
#include <map>
#include <memory>
#include <utility>

#include "containers/dialects/packed_linears.h"
#include "containers/tensor_size.h"
#include "core/check.h"
#include "core/file.h"
#include "model/checkpoint_parts.h"
#include "model/fused_linears.h"
#include "recommend/module_facts.h"

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

std::int64_t element_count_of(const std::vector<std::int64_t>& shape) {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) count *= extent;
  return count;
}

bool bits_differ(const LinearFacts& linear) {
  return linear.stored_bits != 0 && linear.stored_bits != linear.scheme->weight.bits;
}

// Without anything of codes beside it; rules of their own ask whether it should have some.
bool kept_in_floats(const LinearFacts& linear) {
  return linear.stored_plain && !linear.stored_quantized;
}

// Empty where the tensors are what the configuration announces, as far as it can be read here.
std::string mismatch_of(const Container& container, const ArtefactFacts& facts,
                        const Dialect* dialect, const QuantizationMap* map) {
  const auto text_of = [](const Error& error) {
    return error.code == ErrorCode::kUnsupported ? "" : one_line(error);
  };
  const auto graph = folder_graph(facts.config, "config.json", container);
  if (!graph) return text_of(graph.error());
  if (*graph) {
    const auto verified = verify_parameters(container, **graph, false, dialect, map);
    if (!verified) return text_of(verified.error());
  }
  // Each quantized Linear by itself, for those of unknown models and beyond the known ones.
  for (const LinearFacts& linear : facts.linears) {
    if (!linear.scheme || kept_in_floats(linear) || bits_differ(linear)) continue;
    const auto verified =
        dialect->verify(container, linear.module, *linear.scheme, linear.rows, linear.cols);
    if (!verified && !text_of(verified.error()).empty()) return text_of(verified.error());
  }
  return "";
}

// Zero points and orders of groups; where tensors are missing there is nothing to read.
void read_values(const Container& container, const Dialect* dialect, ArtefactFacts& facts) {
  if (dialect == nullptr || dialect->verify_values == nullptr) return;
  for (LinearFacts& linear : facts.linears) {
    // Of Linears beyond the known model tensors may be missing still.
    if (!linear.scheme || kept_in_floats(linear) ||
        !dialect->verify(container, linear.module, *linear.scheme, linear.rows, linear.cols)) {
      continue;
    }
    const auto verified =
        dialect->verify_values(container, linear.module, *linear.scheme, linear.rows, linear.cols);
    if (verified || verified.error().code == ErrorCode::kUnsupported) continue;
    const Error& error = verified.error();
    linear.values = {.tensor = error.tensor,
                     .text = one_line(error),
                     .out_of_range = error.expected.starts_with("group indices below")};
  }
}

// Readers here take [64] for [64, 1]. What the dialect has is what its writer plans.
std::string other_shape(const Container& container, const DialectWriter& writer,
                        const LinearFacts& linear) {
  if (writer.cannot_hold(*linear.scheme, linear.rows, linear.cols)) return "";
  for (const PlannedPart& part :
       writer.plan(linear.module, *linear.scheme, linear.rows, linear.cols)) {
    const TensorInfo* stored = container.find(part.tensor.name);
    const std::vector<std::int64_t>& shape = part.tensor.shape;
    if (stored == nullptr || stored->shape == shape) continue;
    const bool scalars = stored->shape.size() < 2 && shape.size() < 2;
    if (scalars || stored->element_count() != element_count_of(shape)) continue;
    return part.tensor.name.substr(linear.module.size() + 1) + " is " + shape_text(stored->shape) +
           ", not " + shape_text(shape);
  }
  return "";
}

// Whose configuration this is, and what it says of each module. `planned`: there are no bytes yet.
void read_modules(const Container& container, bool planned, ArtefactFacts& facts) {
  std::unique_ptr<QuantizationMap> map;
  const Dialect* dialect = nullptr;
  for (const Dialect* row : dialects()) {
    const bool first = dialect == nullptr && facts.quantized();
    if (first && row->recognises(facts.quantization)) dialect = row;
  }
  if (dialect != nullptr) {
    facts.dialect = dialect->name;
    auto read = dialect->read_map({.config = facts.quantization,
                                   .container = container,
                                   .origin = "config.json",
                                   .model_dtype = facts.dtype});
    if (read) {
      map = std::move(*read);
    } else {
      facts.unreadable = one_line(read.error());
      facts.contradictory = read.error().code == ErrorCode::kCorrupt;
    }
  }
  for (const TensorInfo& tensor : container.tensors()) {
    facts.tensors.push_back(tensor.name);
    if (facts.packed.empty() && packed_linears(dialect, tensor)) facts.packed = tensor.name;
  }
  facts.attentions = read_kv_scales(container, !planned && facts.has_values);
  for (std::string& module : modules_of(container)) {
    facts.linears.push_back(read_module({.container = container,
                                         .dialect = facts.dialect,
                                         .map = map.get(),
                                         .read_values = facts.has_values},
                                        std::move(module)));
  }
  const bool readable = map != nullptr || !facts.quantized();
  if (!readable) return;
  if (dialect != nullptr && dialect->writer != nullptr) {
    for (LinearFacts& linear : facts.linears) {
      if (linear.scheme) linear.other_shape = other_shape(container, *dialect->writer, linear);
    }
  }
  if (planned) return;
  facts.mismatch = mismatch_of(container, facts, dialect, map.get());
  if (facts.mismatch.empty() && facts.has_values) read_values(container, dialect, facts);
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
    const std::string name = fused_name_with_experts(linear.module);
    const auto [place, is_new] = index.emplace(name, products.size());
    if (is_new) {
      products.push_back({.name = name,
                          .shards = {},
                          .split = split_of(name),
                          .experts = is_of_expert(linear.module)});
    }
    products[place->second].shards.push_back(&linear);
  }
  return products;
}

Result<ArtefactFacts> read_artefact_facts(const std::filesystem::path& path, bool read_values) {
  QUANTLANE_TRY(const auto container, open_container(path));
  ArtefactFacts facts;
  facts.container = container->kind();
  facts.files = container->files().size();
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
  facts.config_mark = text.starts_with("\xEF\xBB\xBF");
  QUANTLANE_TRY_VOID(read_side_files(folder, facts));
  facts.method = facts.quantization["quant_method"].string();
  read_modules(*container, false, facts);
  return facts;
}

Result<ArtefactFacts> planned_artefact_facts(const Json& config,
                                             std::span<const PlannedTensor> tensors) {
  ArtefactFacts facts;
  facts.container = "safetensors";
  set_config(config, facts);
  facts.method = facts.quantization["quant_method"].string();
  const PlannedContainer container(tensors);
  read_modules(container, true, facts);
  return facts;
}

}  // namespace quantlane
