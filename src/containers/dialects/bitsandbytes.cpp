#include "containers/dialects/bitsandbytes.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "containers/dialects/bitsandbytes_parts.h"
#include "containers/dialects/linear_tensors.h"
#include "containers/dialects/module_patterns.h"
#include "containers/tensor_size.h"
#include "core/check.h"
#include "core/json_members.h"

namespace quantlane {
namespace {

using bitsandbytes::kName;
using bitsandbytes::kState;

constexpr std::int64_t kLargestBlock = 1 << 20;
constexpr std::uint64_t kLargestState = 1 << 16;

bool recognises(const Json& config) { return config["quant_method"].string() == kName; }

class Map final : public QuantizationMap {
 public:
  explicit Map(const Container& container) : container_(container) {}
  LinearScheme scheme;
  ModulePatterns kept;

  [[nodiscard]] bool keeps_plain(std::string_view module) const override {
    return kept.matches(module);
  }
  [[nodiscard]] std::optional<LinearScheme> scheme_of(std::string_view module) const override {
    const std::string absmax = std::string(module) + ".weight.absmax";
    return container_.find(absmax) != nullptr ? std::optional(scheme) : std::nullopt;
  }

 private:
  const Container& container_;
};

Result<std::unique_ptr<QuantizationMap>> read_map(const QuantizationSource& source) {
  QUANTLANE_TRY(
      const JsonMembers config,
      JsonMembers::of(source.config, "reading the bitsandbytes configuration", source.origin));
  QUANTLANE_TRY(const bool four, config.boolean("load_in_4bit", false));
  QUANTLANE_TRY(const bool eight, config.boolean("load_in_8bit", false));
  if (!four)
    return fail(config.refused("load_in_4bit").expects("true: only 4-bit weights are read"));
  if (eight) {
    return fail(config.wrong("load_in_8bit").expects("false, as \"load_in_4bit\" says"));
  }
  // transformers writes both twice.
  for (const auto& [key, wanted] : {std::pair{"_load_in_4bit", true}, {"_load_in_8bit", false}}) {
    QUANTLANE_TRY(const bool copy, config.boolean(key, wanted));
    if (copy != wanted) return fail(config.wrong(key).expects(wanted ? "true" : "false"));
  }
  // Without the key the type is FP4.
  if (!config.has("bnb_4bit_quant_type")) {
    return fail(config.refused("bnb_4bit_quant_type").expects("\"nf4\""));
  }
  QUANTLANE_TRY_VOID(config.word("bnb_4bit_quant_type", "", {"nf4"}));
  QUANTLANE_TRY_VOID(config.word("bnb_4bit_quant_storage", "uint8", {"uint8"}));
  QUANTLANE_TRY_VOID(config.word(
      "bnb_4bit_compute_dtype", "",
      {"float32", "bfloat16", "float16", "torch.float32", "torch.bfloat16", "torch.float16"}));
  QUANTLANE_TRY(const bool nested, config.boolean("bnb_4bit_use_double_quant", false));
  auto map = std::make_unique<Map>(source.container);
  QUANTLANE_TRY(map->kept,
                ModulePatterns::read(config, "llm_int8_skip_modules", PatternStyle::kParts));
  map->scheme.weight = {.type = ValueType::kNormalFloat,
                        .group_size = 64,
                        .scale_dtype = DType::kF32,
                        .rounding = {.value = source.model_dtype},
                        .nested_scales = nested};
  return map;
}

struct Found {
  const TensorInfo* codes = nullptr;
  const TensorInfo* scale = nullptr;
  const TensorInfo* nested_scale = nullptr;  // with quantized scales, as is
  const TensorInfo* nested_map = nullptr;
  std::int64_t nested_block = 1;
  float offset = 0;
};

// What the JSON beside the codes says, as far as it must agree with them.
Result<void> read_state(const LinearTensors& tensors, const Scheme& scheme, std::int64_t rows,
                        std::int64_t cols, Found& found) {
  const TensorInfo* state = tensors.find(kState);
  QUANTLANE_TRY(state,
                tensors.require(kState, {DType::kU8},
                                state == nullptr ? std::vector<std::int64_t>{1} : state->shape));
  if (state->size_bytes > kLargestState) {
    return fail(tensors.wrong(*state)
                    .expects("a short JSON text")
                    .got(std::to_string(state->size_bytes) + " bytes"));
  }
  const auto bytes = tensors.bytes(*state);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const auto json = Json::parse(text, state->name);
  if (!json || !json->is_object()) {
    return fail(tensors.wrong(*state)
                    .expects("a JSON object that says how the codes were made")
                    .got(json ? json->dump() : json.error().found)
                    .advise("the tensor was cut short or overwritten: copy or download the file "
                            "again"));
  }
  const auto differs = [&](std::string_view key, const std::string& wanted) {
    return fail(tensors.wrong(*state)
                    .expects("\"" + std::string(key) + "\": " + wanted)
                    .got(json->contains(key) ? (*json)[key].dump() : "no such key"));
  };
  if ((*json)["quant_type"].string() != "nf4") return differs("quant_type", "\"nf4\"");
  if ((*json)["blocksize"].integer() != scheme.group_size) {
    return differs("blocksize", std::to_string(scheme.group_size));
  }
  const auto& shape = (*json)["shape"].items();
  if (shape.size() != 2 || shape[0].integer() != rows || shape[1].integer() != cols) {
    return differs("shape", shape_text(std::vector<std::int64_t>{rows, cols}));
  }
  const bool nested = json->contains("nested_blocksize") || json->contains("nested_offset");
  if (nested != scheme.nested_scales) {
    return fail(tensors.wrong(*state)
                    .expects(scheme.nested_scales ? "scales that are quantized again, as "
                                                    "\"bnb_4bit_use_double_quant\": true says"
                                                  : "scales that are not quantized again, as "
                                                    "\"bnb_4bit_use_double_quant\": false says")
                    .got(std::string(text.substr(0, 200)))
                    .advise("correct bnb_4bit_use_double_quant in config.json"));
  }
  if (!nested) return {};
  found.nested_block = (*json)["nested_blocksize"].integer();
  if (found.nested_block < 1 || found.nested_block > kLargestBlock) {
    return differs("nested_blocksize", "an integer above 0");
  }
  const Json& nested_dtype = (*json)["nested_dtype"];
  if (!nested_dtype.is_null() && nested_dtype.string() != "float32") {
    return differs("nested_dtype", "\"float32\"");
  }
  if (!(*json)["nested_offset"].is_number()) return differs("nested_offset", "a number");
  found.offset = static_cast<float>((*json)["nested_offset"].number());
  return {};
}

Result<Found> find(const LinearTensors& tensors, const LinearScheme& scheme, std::int64_t rows,
                   std::int64_t cols) {
  const Scheme& weight = scheme.weight;
  if (cols % weight.group_size != 0) {
    Error error = tensors.wrong_module();
    error.code = ErrorCode::kUnsupported;
    return fail(std::move(error)
                    .expects("columns in multiples of " + std::to_string(weight.group_size))
                    .got(std::to_string(cols)));
  }
  Found found;
  const std::int64_t groups = rows * cols / weight.group_size;
  QUANTLANE_TRY_VOID(read_state(tensors, weight, rows, cols, found));
  QUANTLANE_TRY(found.codes, tensors.require("weight", {DType::kU8}, {rows * cols / 2}));
  QUANTLANE_TRY_VOID(tensors.require("weight.quant_map", {DType::kF32}, {16}));
  if (!weight.nested_scales) {
    QUANTLANE_TRY(found.scale, tensors.require("weight.absmax", {DType::kF32}, {groups}));
    return found;
  }
  const std::int64_t blocks = (groups + found.nested_block - 1) / found.nested_block;
  QUANTLANE_TRY(found.scale, tensors.require("weight.absmax", {DType::kU8}, {groups}));
  QUANTLANE_TRY(found.nested_scale,
                tensors.require("weight.nested_absmax", {DType::kF32}, {blocks}));
  QUANTLANE_TRY(found.nested_map, tensors.require("weight.nested_quant_map", {DType::kF32}, {256}));
  return found;
}

Result<void> verify(const Container& container, std::string_view module, const LinearScheme& scheme,
                    std::int64_t rows, std::int64_t cols) {
  QUANTLANE_TRY_VOID(find(LinearTensors(container, module, kName), scheme, rows, cols));
  return {};
}

Result<std::vector<float>> nested_scales(const LinearTensors& tensors, const Found& found) {
  QUANTLANE_TRY(const auto largest, tensors.finite_values(*found.nested_scale));
  QUANTLANE_TRY(const auto values, tensors.finite_values(*found.nested_map));
  const auto codes = tensors.bytes(*found.scale);
  std::vector<float> scales(codes.size());
  for (std::size_t i = 0; i < scales.size(); ++i) {
    const float value = values[static_cast<std::size_t>(codes[i])] *
                        largest[i / static_cast<std::size_t>(found.nested_block)];
    scales[i] = value + found.offset;
  }
  return scales;
}

Result<StoredLinear> unpack(const Container& container, std::string_view module,
                            const LinearScheme& scheme, std::int64_t rows, std::int64_t cols) {
  const LinearTensors tensors(container, module, kName);
  QUANTLANE_TRY(const Found found, find(tensors, scheme, rows, cols));
  QUANTLANE_TRY(const TensorInfo* values, tensors.require("weight.quant_map", {DType::kF32}, {16}));
  QUANTLANE_TRY(const auto map, tensors.finite_values(*values));
  if (!std::ranges::equal(map, bitsandbytes::nf4_map())) {
    return fail(tensors.wrong(*values).expects("the 16 values of NF4"));
  }
  StoredLinear linear = empty_linear(scheme, rows, cols);
  QuantTensor& tensor = linear.weight;
  if (scheme.weight.nested_scales) {
    QUANTLANE_TRY(tensor.scales, nested_scales(tensors, found));
  } else {
    QUANTLANE_TRY(tensor.scales, tensors.finite_values(*found.scale));
  }
  const auto bytes = tensors.bytes(*found.codes);
  tensor.codes.resize(2 * bytes.size());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    tensor.codes[2 * i] = static_cast<std::int8_t>(bytes[i] >> 4);
    tensor.codes[2 * i + 1] = static_cast<std::int8_t>(bytes[i] & std::byte{15});
  }
  return linear;
}

}  // namespace

constinit const Dialect kBitsAndBytes = {.name = kName,
                                         .recognises = recognises,
                                         .read_map = read_map,
                                         .verify = verify,
                                         .unpack = unpack,
                                         .writer = &bitsandbytes::kWriter};

}  // namespace quantlane
