#include "containers/dialects/gptq.h"

#include <algorithm>
#include <array>
#include <utility>

#include "containers/dialects/bit_runs.h"
#include "containers/dialects/gptq_parts.h"
#include "containers/dialects/linear_tensors.h"
#include "core/check.h"
#include "core/json_members.h"
#include "core/regex.h"

namespace quantlane {
namespace {

constexpr std::string_view kName = "gptq";
constexpr std::string_view kSideFile = "quantize_config.json";
constexpr std::int64_t kLargestGroup = 1 << 20;

// AutoGPTQ's file does not name the method.
Json from_side_file(const Json& contents) {
  Json config = contents;
  if (config.is_object() && !config.contains("quant_method")) config.set("quant_method", kName);
  return config;
}

std::string_view checkpoint_format(const Json& config) {
  return config["checkpoint_format"].string(config["format"].string("gptq"));
}

bool is_gptq(const Json& config) {
  if (config["quant_method"].string() == kName) return true;
  // AutoRound's own name for the same tensors.
  return config["quant_method"].string() == "auto-round" &&
         config["packing_format"].string().ends_with("auto_gptq");
}

bool recognises_v1(const Json& config) {
  return is_gptq(config) && checkpoint_format(config) != "gptq_v2";
}
bool recognises_v2(const Json& config) {
  return is_gptq(config) && checkpoint_format(config) == "gptq_v2";
}

// bits, group_size, sym and desc_act of `config`, those that it lacks from `base`.
Result<LinearScheme> read_scheme(const JsonMembers& config, LinearScheme base) {
  Scheme& scheme = base.weight;
  QUANTLANE_TRY(const std::int64_t bits, config.integer("bits", scheme.bits));
  if (bits != 2 && bits != 3 && bits != 4 && bits != 8) {
    return fail(config.refused("bits").expects("2, 3, 4 or 8"));
  }
  scheme.bits = static_cast<int>(bits);
  QUANTLANE_TRY(scheme.symmetric, config.boolean("sym", scheme.symmetric));
  QUANTLANE_TRY(scheme.act_order, config.boolean("desc_act", scheme.act_order));
  if (config.has("group_size")) {
    QUANTLANE_TRY(const std::int64_t group, config.integer("group_size", -1));
    if (group == 0 || group < -1 || group > kLargestGroup) {
      return fail(config.refused("group_size")
                      .expects("-1, or from 1 to " + std::to_string(kLargestGroup)));
    }
    scheme.granularity = group == -1 ? Granularity::kChannel : Granularity::kGroup;
    scheme.group_size = group == -1 ? 0 : static_cast<int>(group);
  }
  return base;
}

class Map final : public QuantizationMap {
 public:
  struct Override {
    Regex pattern;
    std::optional<LinearScheme> scheme;  // nullopt: not quantized
  };

  explicit Map(const Container& container) : container_(container) {}
  std::vector<Override> overrides;
  LinearScheme scheme;

  [[nodiscard]] bool keeps_plain(std::string_view module) const override {
    for (const Override& entry : overrides) {
      if (entry.pattern.matches_start(module)) return !entry.scheme;
    }
    return false;
  }

  [[nodiscard]] std::optional<LinearScheme> scheme_of(std::string_view module) const override {
    if (container_.find(std::string(module) + ".qweight") == nullptr) return std::nullopt;
    for (const Override& entry : overrides) {
      if (entry.pattern.matches_start(module)) return entry.scheme;
    }
    return scheme;
  }

 private:
  const Container& container_;
};

// What must be as it is for the tensors to be what this file reads.
Result<void> check_layout(const JsonMembers& config) {
  constexpr std::array<std::string_view, 2> kFormats = {"gptq", "gptq_v2"};
  QUANTLANE_TRY(const auto format, config.word("checkpoint_format", "gptq", kFormats));
  QUANTLANE_TRY(const auto copy, config.word("format", format, kFormats));
  if (config.has("checkpoint_format") && copy != format) {
    return fail(config.wrong("format")
                    .expects("what \"checkpoint_format\" says, \"" + std::string(format) + "\"")
                    .advise("set both to the version of the zero points"));
  }
  QUANTLANE_TRY(const bool marlin, config.boolean("is_marlin_format", false));
  if (marlin) return fail(config.refused("is_marlin_format").expects("false"));
  QUANTLANE_TRY_VOID(config.word("pack_dtype", "int32", {"int32"}));
  QUANTLANE_TRY(const JsonMembers extra, config.object("extra_config"));
  if (!extra.json().members().empty()) {
    return fail(config.refused("extra_config").expects("no overrides"));
  }
  return {};
}

// "lm_head": true promises codes of the head.
Result<void> check_head(const JsonMembers& config, const Container& container) {
  QUANTLANE_TRY(const bool head, config.boolean("lm_head", false));
  const auto is_head = [](const TensorInfo& tensor) {
    return tensor.name.ends_with("lm_head.qweight");
  };
  if (!head || std::ranges::any_of(container.tensors(), is_head)) return {};
  return fail(config.wrong("lm_head")
                  .expects("false: there is no tensor lm_head.qweight")
                  .advise("correct the key, or download the missing part of the checkpoint"));
}

Result<std::unique_ptr<QuantizationMap>> read_map(const QuantizationSource& source) {
  QUANTLANE_TRY(const JsonMembers config,
                JsonMembers::of(source.config, "reading the GPTQ configuration", source.origin));
  QUANTLANE_TRY_VOID(check_layout(config));
  QUANTLANE_TRY_VOID(check_head(config, source.container));
  LinearScheme base;
  base.weight.granularity = Granularity::kChannel;
  base.weight.scale_dtype = DType::kF16;
  base.weight.rounding = {.scale = source.model_dtype, .value = source.model_dtype};
  auto map = std::make_unique<Map>(source.container);
  QUANTLANE_TRY(map->scheme, read_scheme(config, base));
  QUANTLANE_TRY(const JsonMembers dynamic, config.object("dynamic"));
  for (const auto& [key, value] : dynamic.json().members()) {
    QUANTLANE_TRY(const JsonMembers settings, dynamic.object(key));
    std::string_view pattern = key;
    const bool skips = pattern.starts_with("-:");
    if (skips || pattern.starts_with("+:")) pattern.remove_prefix(2);
    auto regex = Regex::compile(pattern);
    if (!regex) {
      return fail(dynamic.refused(key).expects(regex.error().expected).got(std::string(pattern)));
    }
    Map::Override entry{.pattern = std::move(*regex), .scheme = std::nullopt};
    if (!skips) {
      QUANTLANE_TRY(entry.scheme, read_scheme(settings, map->scheme));
    }
    map->overrides.push_back(std::move(entry));
  }
  return map;
}

struct Found {
  const TensorInfo* codes = nullptr;
  const TensorInfo* zeros = nullptr;
  const TensorInfo* scales = nullptr;
  const TensorInfo* order = nullptr;  // nullptr: column / group_size
};

Result<Found> find(const LinearTensors& tensors, const Scheme& scheme, std::int64_t rows,
                   std::int64_t cols) {
  const BitRuns runs = BitRuns::dense(scheme.bits);
  if (cols % runs.values != 0 || rows % runs.values != 0) {
    return fail(tensors.wrong_module()
                    .expects("rows and columns in multiples of " + std::to_string(runs.values))
                    .got(std::to_string(rows) + " x " + std::to_string(cols)));
  }
  const std::int64_t groups = scheme.groups_per_row(cols);
  Found found;
  QUANTLANE_TRY(found.codes,
                tensors.require("qweight", {DType::kI32}, {runs.words_for(cols), rows}));
  QUANTLANE_TRY(found.zeros,
                tensors.require("qzeros", {DType::kI32}, {groups, runs.words_for(rows)}));
  QUANTLANE_TRY(found.scales, tensors.require("scales", kPlainScaleTypes, {groups, rows}));
  if (scheme.act_order || tensors.has("g_idx")) {
    QUANTLANE_TRY(found.order, tensors.require("g_idx", {DType::kI32}, {cols}));
  }
  return found;
}

// Zero points [rows, groups] as stored.
std::vector<std::int8_t> read_zeros(const LinearTensors& tensors, const Found& found,
                                    const QuantTensor& tensor) {
  const BitRuns runs = BitRuns::dense(tensor.scheme.bits);
  const std::int64_t groups = tensor.scheme.groups_per_row(tensor.cols);
  const std::byte* words = tensors.bytes(*found.zeros).data();
  std::vector<std::uint8_t> line(static_cast<std::size_t>(tensor.rows));
  std::vector<std::int8_t> zeros(line.size() * static_cast<std::size_t>(groups));
  for (std::int64_t g = 0; g < groups; ++g) {
    unpack_codes(runs, words + 4 * g * runs.words_for(tensor.rows), 1, tensor.rows, line.data());
    for (std::size_t r = 0; r < line.size(); ++r) {
      zeros[r * static_cast<std::size_t>(groups) + static_cast<std::size_t>(g)] =
          static_cast<std::int8_t>(line[r]);
    }
  }
  return zeros;
}

// Symmetric weights keep no zeros; those that are stored must be the middle code.
Result<void> set_zeros(const LinearTensors& tensors, const Found& found, int offset,
                       QuantTensor& tensor) {
  tensor.zeros = read_zeros(tensors, found, tensor);
  const int middle = 1 << (tensor.scheme.bits - 1);
  for (std::int8_t& zero : tensor.zeros) {
    const int value = static_cast<std::uint8_t>(zero) + offset;
    if (tensor.scheme.symmetric && value != middle) {
      const bool other_version = value + 1 - 2 * offset == middle;
      return fail(
          tensors.wrong(*found.zeros)
              .expects("zero points of " + std::to_string(middle) + ", as \"sym\": true says")
              .got(std::to_string(value))
              .advise(other_version ? "set checkpoint_format to \"" +
                                          std::string(offset == 1 ? "gptq_v2" : "gptq") +
                                          "\" in config.json: the zeros are of that version"
                                    : "set \"sym\" to false in config.json"));
    }
    if (value > 255) {
      Error error = tensors.wrong(*found.zeros);
      error.code = ErrorCode::kUnsupported;
      return fail(std::move(error).expects("zero points up to 255").got(std::to_string(value)));
    }
    zero = static_cast<std::int8_t>(value);
  }
  if (tensor.scheme.symmetric) tensor.zeros.clear();
  return {};
}

// What lies beside codes and scales: zero points as "sym" says, groups as "desc_act" does.
Result<void> read_beside(const LinearTensors& tensors, const Found& found, int offset,
                         QuantTensor& tensor) {
  QUANTLANE_TRY_VOID(set_zeros(tensors, found, offset, tensor));
  if (found.order == nullptr) return {};
  const std::int64_t groups = tensor.scheme.groups_per_row(tensor.cols);
  const std::int64_t length = groups == 1 ? tensor.cols : tensor.scheme.group_size;
  QUANTLANE_TRY(tensor.group_of_column, tensors.group_order(*found.order, groups, length));
  if (tensor.group_of_column.empty() || tensor.scheme.act_order) return {};
  return fail(tensors.wrong(*found.order)
                  .expects("groups of neighbouring columns, as \"desc_act\": false says")
                  .got("groups in another order")
                  .advise("set \"desc_act\" to true in config.json: engines ignore g_idx "
                          "without it"));
}

template <int kOffset>
Result<void> verify_values(const Container& container, std::string_view module,
                           const LinearScheme& scheme, std::int64_t rows, std::int64_t cols) {
  const LinearTensors tensors(container, module, kName);
  QUANTLANE_TRY(const Found found, find(tensors, scheme.weight, rows, cols));
  StoredLinear linear = empty_linear(scheme, rows, cols);
  return read_beside(tensors, found, kOffset, linear.weight);
}

template <int kOffset>
Result<StoredLinear> unpack(const Container& container, std::string_view module,
                            const LinearScheme& scheme, std::int64_t rows, std::int64_t cols) {
  const LinearTensors tensors(container, module, kName);
  QUANTLANE_TRY(const Found found, find(tensors, scheme.weight, rows, cols));
  StoredLinear linear = empty_linear(scheme, rows, cols);
  QuantTensor& tensor = linear.weight;
  QUANTLANE_TRY_VOID(tensors.read_group_major_scales(*found.scales, tensor));
  QUANTLANE_TRY_VOID(read_beside(tensors, found, kOffset, tensor));
  const BitRuns runs = BitRuns::dense(tensor.scheme.bits);
  const std::byte* words = tensors.bytes(*found.codes).data();
  const int middle = tensor.scheme.symmetric ? 1 << (tensor.scheme.bits - 1) : 0;
  tensor.codes.resize(static_cast<std::size_t>(rows * cols));
  for (std::int64_t r = 0; r < rows; ++r) {
    std::int8_t* codes = tensor.codes.data() + r * cols;
    unpack_codes(runs, words + 4 * r, rows, cols, reinterpret_cast<std::uint8_t*>(codes));
    for (std::int64_t c = 0; c < cols; ++c)
      codes[c] = static_cast<std::int8_t>(static_cast<std::uint8_t>(codes[c]) - middle);
  }
  return linear;
}

Result<void> verify(const Container& container, std::string_view module, const LinearScheme& scheme,
                    std::int64_t rows, std::int64_t cols) {
  QUANTLANE_TRY_VOID(find(LinearTensors(container, module, kName), scheme.weight, rows, cols));
  return {};
}

}  // namespace

constinit const Dialect kGptq = {.name = kName,
                                 .recognises = recognises_v1,
                                 .read_map = read_map,
                                 .verify = verify,
                                 .unpack = unpack<gptq::kZeroOffsetV1>,
                                 .writer = &gptq::kWriterV1,
                                 .side_file = kSideFile,
                                 .from_side_file = from_side_file,
                                 .verify_values = verify_values<gptq::kZeroOffsetV1>};

constinit const Dialect kGptqV2 = {.name = "gptq_v2",
                                   .recognises = recognises_v2,
                                   .read_map = read_map,
                                   .verify = verify,
                                   .unpack = unpack<gptq::kZeroOffsetV2>,
                                   .writer = &gptq::kWriterV2,
                                   .side_file = kSideFile,
                                   .from_side_file = from_side_file,
                                   .verify_values = verify_values<gptq::kZeroOffsetV2>};

}  // namespace quantlane
