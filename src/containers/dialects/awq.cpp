#include "containers/dialects/awq.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <utility>

#include "containers/dialects/awq_parts.h"
#include "containers/dialects/linear_tensors.h"
#include "containers/dialects/module_patterns.h"
#include "core/check.h"

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

Error bad_key(const QuantizationSource& source, std::string key, const Json& found) {
  return unsupported("reading the AWQ configuration")
      .in(source.origin)
      .of(std::move(key))
      .got(found.dump());
}

class Map final : public QuantizationMap {
 public:
  explicit Map(const Container& container) : container_(container) {}
  ModulePatterns ignore;
  LinearScheme scheme;

  [[nodiscard]] std::optional<LinearScheme> scheme_of(std::string_view module) const override {
    if (ignore.matches(module)) return std::nullopt;
    if (container_.find(std::string(module) + ".qweight") == nullptr) return std::nullopt;
    return scheme;
  }

 private:
  const Container& container_;
};

Result<std::unique_ptr<QuantizationMap>> read_map(const QuantizationSource& source) {
  const Json& config = source.config;
  if (config["bits"].integer(kBits) != kBits) {
    return fail(bad_key(source, "bits", config["bits"]).expects("4"));
  }
  std::string version(config["version"].string("gemm"));
  std::ranges::transform(version, version.begin(), [](unsigned char c) { return std::tolower(c); });
  if (version != "gemm") {
    return fail(bad_key(source, "version", config["version"]).expects("\"gemm\""));
  }
  if (!config["extra_config"].members().empty()) {
    return fail(bad_key(source, "extra_config", config["extra_config"]).expects("no overrides"));
  }
  const std::int64_t group = config["group_size"].integer(128);
  if (group == 0 || group < -1 || group > kLargestGroup) {
    return fail(bad_key(source, "group_size", config["group_size"]).expects("-1 or above 0"));
  }
  auto map = std::make_unique<Map>(source.container);
  Scheme& scheme = map->scheme.weight;
  scheme.symmetric = false;
  scheme.granularity = group == -1 ? Granularity::kChannel : Granularity::kGroup;
  scheme.group_size = group == -1 ? 0 : static_cast<int>(group);
  awq::kWriter.complete(map->scheme, source.model_dtype);
  QUANTLANE_TRY(map->ignore,
                ModulePatterns::read(config["modules_to_not_convert"], PatternStyle::kSubstrings));
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

Result<StoredLinear> unpack(const Container& container, std::string_view module,
                            const LinearScheme& scheme, std::int64_t rows, std::int64_t cols) {
  const LinearTensors tensors(container, module, kName);
  QUANTLANE_TRY(const Found found, find(tensors, scheme.weight, rows, cols));
  StoredLinear linear;
  QuantTensor& tensor = linear.weight;
  tensor.scheme = scheme.weight;
  tensor.scheme.scale_dtype = found.scales->type.plain;
  tensor.rows = rows;
  tensor.cols = cols;
  const std::int64_t groups = tensor.scheme.groups_per_row(cols);
  QUANTLANE_TRY(const std::vector<float> scales, tensors.finite_values(*found.scales));
  tensor.scales = transposed(scales, groups, rows);
  tensor.zeros = read_nibbles(tensors.bytes(*found.zeros), groups, rows);
  tensor.codes = read_nibbles(tensors.bytes(*found.codes), cols, rows);
  return linear;
}

Result<void> verify(const Container& container, std::string_view module, const LinearScheme& scheme,
                    std::int64_t rows, std::int64_t cols) {
  QUANTLANE_TRY_VOID(find(LinearTensors(container, module, kName), scheme.weight, rows, cols));
  return {};
}

}  // namespace

constinit const Dialect kAwq = {.name = kName,
                                .recognises = recognises,
                                .read_map = read_map,
                                .verify = verify,
                                .unpack = unpack,
                                .writer = &awq::kWriter,
                                .side_file = "quant_config.json",
                                .from_side_file = from_side_file};

}  // namespace quantlane
