#include "containers/dialects/awq.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <utility>

#include "containers/dialects/awq_parts.h"
#include "containers/dialects/linear_tensors.h"
#include "containers/dialects/module_patterns.h"
#include "core/check.h"
#include "core/json_members.h"

namespace quantlane {
namespace {

using awq::kBits;
using awq::kName;
using awq::kRowOfNibble;

constexpr std::int64_t kLargestGroup = 1 << 20;

bool recognises(const Json& config) {
  if (config["quant_method"].string() == kName) return true;
  // AutoRound's own name for the same tensors.
  return config["quant_method"].string() == "auto-round" &&
         config["packing_format"].string().ends_with("auto_awq");
}

Json from_side_file(const Json& contents) {
  Json config = contents;
  if (!config.is_object()) return config;
  config.set("quant_method", kName);
  for (const auto& [old_key, key] : {std::pair{"w_bit", "bits"}, {"q_group_size", "group_size"}}) {
    if (!config.contains(key) && config.contains(old_key)) config.set(key, config[old_key]);
  }
  return config;
}

class Map final : public QuantizationMap {
 public:
  explicit Map(const Container& container) : container_(container) {}
  ModulePatterns ignore;
  LinearScheme scheme;

  [[nodiscard]] bool keeps_plain(std::string_view module) const override {
    return ignore.matches(module);
  }
  [[nodiscard]] std::optional<LinearScheme> scheme_of(std::string_view module) const override {
    if (ignore.matches(module)) return std::nullopt;
    if (container_.find(std::string(module) + ".qweight") == nullptr) return std::nullopt;
    return scheme;
  }

 private:
  const Container& container_;
};

// Engines read the older spelling in config.json too.
std::string_view spelled_as(const JsonMembers& config, std::string_view key,
                            std::string_view older) {
  return !config.has(key) && config.has(older) ? older : key;
}

// AutoAWQ says "zero_point", AutoRound "sym" as well; neither means zero points.
Result<bool> read_symmetric(const JsonMembers& config) {
  QUANTLANE_TRY(const bool sym, config.boolean("sym", false));
  QUANTLANE_TRY(const bool zero_point, config.boolean("zero_point", !sym));
  if (config.has("sym") && sym == zero_point) {
    return fail(config.wrong("zero_point")
                    .expects(std::string(sym ? "false" : "true") + ", as \"sym\" says")
                    .advise("set both as the tool that made the weights had them"));
  }
  return !zero_point;
}

Result<std::unique_ptr<QuantizationMap>> read_map(const QuantizationSource& source) {
  QUANTLANE_TRY(const JsonMembers config,
                JsonMembers::of(source.config, "reading the AWQ configuration", source.origin));
  QUANTLANE_TRY_VOID(config.integer_in(spelled_as(config, "bits", "w_bit"), kBits, kBits, kBits));
  QUANTLANE_TRY(const std::string_view spelled, config.string("version", "gemm"));
  std::string version(spelled);
  std::ranges::transform(version, version.begin(), [](unsigned char c) { return std::tolower(c); });
  if (version != "gemm") return fail(config.refused("version").expects("\"gemm\""));
  QUANTLANE_TRY(const JsonMembers overrides, config.object("extra_config"));
  if (!overrides.json().members().empty()) {
    return fail(config.refused("extra_config").expects("no overrides"));
  }
  const std::string_view group_key = spelled_as(config, "group_size", "q_group_size");
  QUANTLANE_TRY(const std::int64_t group, config.integer(group_key, 128));
  if (group == 0 || group < -1 || group > kLargestGroup) {
    return fail(
        config.refused(group_key).expects("-1, or from 1 to " + std::to_string(kLargestGroup)));
  }
  auto map = std::make_unique<Map>(source.container);
  Scheme& scheme = map->scheme.weight;
  QUANTLANE_TRY(scheme.symmetric, read_symmetric(config));
  scheme.granularity = group == -1 ? Granularity::kChannel : Granularity::kGroup;
  scheme.group_size = group == -1 ? 0 : static_cast<int>(group);
  awq::kWriter.complete(map->scheme, source.model_dtype);
  QUANTLANE_TRY(map->ignore,
                ModulePatterns::read(config, "modules_to_not_convert", PatternStyle::kSubstrings));
  return map;
}

struct Found {
  const TensorInfo* codes = nullptr;
  const TensorInfo* zeros = nullptr;
  const TensorInfo* scales = nullptr;
};

Result<Found> find(const LinearTensors& tensors, const Scheme& scheme, std::int64_t rows,
                   std::int64_t cols) {
  if (rows % 8 != 0 ||
      (scheme.granularity == Granularity::kGroup && cols % scheme.group_size != 0)) {
    return fail(tensors.wrong_module()
                    .expects("rows in multiples of 8, columns in multiples of the group size")
                    .got(std::to_string(rows) + " x " + std::to_string(cols)));
  }
  const std::int64_t groups = scheme.groups_per_row(cols);
  Found found;
  QUANTLANE_TRY(found.codes, tensors.require("qweight", {DType::kI32}, {cols, rows / 8}));
  QUANTLANE_TRY(found.zeros, tensors.require("qzeros", {DType::kI32}, {groups, rows / 8}));
  QUANTLANE_TRY(found.scales,
                tensors.require("scales", {DType::kF16, DType::kBF16}, {groups, rows}));
  return found;
}

// Words [lines, rows / 8] into values [rows, lines].
std::vector<std::int8_t> read_nibbles(std::span<const std::byte> words, std::int64_t lines,
                                      std::int64_t rows) {
  std::vector<std::int8_t> values(static_cast<std::size_t>(lines * rows));
  for (std::int64_t block = 0; block < rows / 8; ++block) {
    for (std::int64_t line = 0; line < lines; ++line) {
      std::uint32_t word = 0;
      std::memcpy(&word, words.data() + 4 * (line * (rows / 8) + block), 4);
      for (int i = 0; i < 8; ++i) {
        const std::int64_t row = 8 * block + kRowOfNibble[static_cast<std::size_t>(i)];
        values[static_cast<std::size_t>(row * lines + line)] =
            static_cast<std::int8_t>(word >> (kBits * i) & 15U);
      }
    }
  }
  return values;
}

// Symmetric weights are stored with zero points all the same, all of them the middle code.
Result<void> drop_middle(const LinearTensors& tensors, const Found& found, QuantTensor& tensor) {
  constexpr int kMiddle = 1 << (kBits - 1);
  const auto other = std::ranges::find_if(tensor.zeros, [](int zero) { return zero != kMiddle; });
  if (other != tensor.zeros.end()) {
    return fail(tensors.wrong(*found.zeros)
                    .expects("zero points of 8, as \"zero_point\": false says")
                    .got(std::to_string(int{*other}))
                    .advise("set \"zero_point\" to true in the configuration, if that is how "
                            "the weights were made"));
  }
  tensor.zeros.clear();
  for (std::int8_t& code : tensor.codes) code = static_cast<std::int8_t>(code - kMiddle);
  return {};
}

Result<StoredLinear> unpack(const Container& container, std::string_view module,
                            const LinearScheme& scheme, std::int64_t rows, std::int64_t cols) {
  const LinearTensors tensors(container, module, kName);
  QUANTLANE_TRY(const Found found, find(tensors, scheme.weight, rows, cols));
  StoredLinear linear = empty_linear(scheme, rows, cols);
  QuantTensor& tensor = linear.weight;
  QUANTLANE_TRY_VOID(tensors.read_group_major_scales(*found.scales, tensor));
  const std::int64_t groups = tensor.scheme.groups_per_row(cols);
  tensor.zeros = read_nibbles(tensors.bytes(*found.zeros), groups, rows);
  tensor.codes = read_nibbles(tensors.bytes(*found.codes), cols, rows);
  if (tensor.scheme.symmetric) QUANTLANE_TRY_VOID(drop_middle(tensors, found, tensor));
  return linear;
}

Result<void> verify(const Container& container, std::string_view module, const LinearScheme& scheme,
                    std::int64_t rows, std::int64_t cols) {
  QUANTLANE_TRY_VOID(find(LinearTensors(container, module, kName), scheme.weight, rows, cols));
  return {};
}

Result<void> verify_values(const Container& container, std::string_view module,
                           const LinearScheme& scheme, std::int64_t rows, std::int64_t cols) {
  const LinearTensors tensors(container, module, kName);
  QUANTLANE_TRY(const Found found, find(tensors, scheme.weight, rows, cols));
  if (!scheme.weight.symmetric) return {};
  StoredLinear linear = empty_linear(scheme, rows, cols);
  const std::int64_t groups = scheme.weight.groups_per_row(cols);
  linear.weight.zeros = read_nibbles(tensors.bytes(*found.zeros), groups, rows);
  return drop_middle(tensors, found, linear.weight);
}

}  // namespace

constinit const Dialect kAwq = {.name = kName,
                                .recognises = recognises,
                                .read_map = read_map,
                                .verify = verify,
                                .unpack = unpack,
                                .writer = &awq::kWriter,
                                .side_file = "quant_config.json",
                                .from_side_file = from_side_file,
                                .verify_values = verify_values};

}  // namespace quantlane
