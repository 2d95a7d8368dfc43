// The algorithms of ModelOpt, and its writing half.
#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "containers/dialects/modelopt_parts.h"
#include "containers/dialects/packed_parts.h"

namespace quantlane::modelopt {
namespace {

constexpr std::array kAlgorithms = {
    Algorithm{"FP8", "fp8_e4m3_tensor", "fp8_e4m3_tensor"},
    Algorithm{"FP8_PER_CHANNEL_PER_TOKEN", "fp8_e4m3_channel", "fp8_e4m3_token"},
    Algorithm{"FP8_PB_WO", "fp8_e4m3_b128x128", ""},
    Algorithm{"NVFP4", "nvfp4", "nvfp4"},
    Algorithm{"W4A16_NVFP4", "nvfp4", ""},
    Algorithm{"MXFP8", "mxfp8", "mxfp8"}};
// The version whose layout this is; engines look at the producer's name.
constexpr std::string_view kProducerVersion = "0.47.0";

void complete(LinearScheme& scheme, DType) {
  Scheme& w = scheme.weight;
  if (w.tensor_scale != TensorScale::kNone) {
    w.tensor_scale = TensorScale::kMultiplies;
    if (scheme.input) scheme.input->tensor_scale = TensorScale::kMultiplies;
  } else if (w.scale_dtype != DType::kF8E8M0) {
    w.scale_dtype = DType::kF32;
  }
}

// The row that means `scheme`, static scales aside; nullptr when there is none.
const Algorithm* algorithm_of(const LinearScheme& scheme) {
  const auto* found = std::ranges::find_if(kAlgorithms, [&](const Algorithm& row) {
    if (row.weight != scheme.weight.spelling() || row.input.empty() == scheme.input.has_value()) {
      return false;
    }
    if (row.input.empty()) return true;
    ActivationScheme input = *scheme.input;
    input.static_scale = 0;
    ActivationScheme wanted = ActivationScheme::parse(row.input).value();
    wanted.tensor_scale = input.tensor_scale;
    return input == wanted;
  });
  return found == kAlgorithms.end() ? nullptr : found;
}

std::optional<std::string> cannot_hold(const LinearScheme& scheme, std::int64_t,
                                       std::int64_t cols) {
  if (algorithm_of(scheme) == nullptr) return "it has no algorithm with these weights and inputs";
  if (scheme.weight.tensor_scale == TensorScale::kDivides ||
      (scheme.input && scheme.input->tensor_scale == TensorScale::kDivides)) {
    return "its scale of the tensor is a factor";
  }
  const int group = scheme.weight.group_size;
  if (scheme.weight.granularity == Granularity::kGroup && cols % group != 0) {
    return "the group size " + std::to_string(group) + " does not divide " + std::to_string(cols) +
           " columns";
  }
  return std::nullopt;
}

std::int64_t row_multiple(const LinearScheme& scheme) { return scheme.weight.block_rows; }

std::vector<PlannedPart> plan(std::string_view module, const LinearScheme& scheme,
                              std::int64_t rows, std::int64_t cols) {
  const Scheme& w = scheme.weight;
  const bool fp4 = w.bits == 4;
  std::vector<PlannedPart> parts = {planned_part(module, "weight",
                                                 fp4 ? DType::kU8 : DType::kF8E4M3,
                                                 {rows, fp4 ? cols / 2 : cols}, SliceAxis::kRows)};
  const DType scale = w.scale_dtype == DType::kF8E8M0 ? DType::kU8 : w.scale_dtype;
  if (w.granularity == Granularity::kTensor) {
    parts.push_back(planned_part(module, "weight_scale", scale, {}, SliceAxis::kWhole));
  } else if (w.granularity == Granularity::kChannel) {
    parts.push_back(planned_part(module, "weight_scale", scale, {rows}, SliceAxis::kRows));
  } else {
    const std::int64_t groups = w.groups_per_row(cols);
    parts.push_back(planned_part(module, "weight_scale", scale,
                                 {w.scale_count(rows, cols) / groups, groups}, SliceAxis::kRows));
  }
  if (w.tensor_scale != TensorScale::kNone) {
    parts.push_back(planned_part(module, "weight_scale_2", DType::kF32, {}, SliceAxis::kWhole));
  }
  if (scheme.input && scheme.input->calibrated()) {
    parts.push_back(planned_part(module, "input_scale", DType::kF32, {}, SliceAxis::kWhole));
  }
  return parts;
}

std::vector<std::vector<std::byte>> pack(const LinearScheme& scheme, const QuantTensor& slice,
                                         std::int64_t) {
  std::vector<std::vector<std::byte>> parts = {
      scheme.weight.bits == 4 ? nibble_part(slice)
                              : raw_part(slice.codes.data(), slice.codes.size()),
      float_part(scheme.weight.scale_dtype, slice.scales)};
  if (scheme.weight.tensor_scale != TensorScale::kNone) {
    parts.push_back(float_part(DType::kF32, {&slice.tensor_scale, 1}));
  }
  if (scheme.input && scheme.input->calibrated()) {
    parts.push_back(float_part(DType::kF32, {&scheme.input->static_scale, 1}));
  }
  return parts;
}

Json producer() { return Json::object({{"name", kName}, {"version", kProducerVersion}}); }

Json arguments(int bits, int group_size, bool dynamic) {
  Json args = Json::object({{"dynamic", dynamic}, {"num_bits", bits}, {"type", "float"}});
  if (group_size > 0) args.set("group_size", group_size);
  return args;
}

Json write_config(const LinearScheme& scheme, std::span<const std::string> ignore) {
  Json ignored = Json::array();
  for (const std::string& module : ignore) ignored.push(module);
  Json group;
  // NVFP4's inputs count as static for their scale of the tensor.
  if (scheme.input) {
    group.set("input_activations",
              arguments(scheme.input->bits, scheme.input->group_size, !scheme.input->calibrated()));
  }
  const bool grouped = scheme.weight.granularity == Granularity::kGroup;
  group.set("weights",
            arguments(scheme.weight.bits, grouped ? scheme.weight.group_size : 0, false));
  group.set("targets", Json::array().push("Linear"));
  return Json::object({{"config_groups", Json::object({{"group_0", std::move(group)}})},
                       {"ignore", std::move(ignored)},
                       {"quant_algo", algorithm_of(scheme)->name},
                       {"producer", producer()},
                       {"quant_method", kName}});
}

Json to_side_file(const Json& config) {
  Json quantization =
      Json::object({{"quant_algo", config["quant_algo"]}, {"kv_cache_quant_algo", Json()}});
  const Json& group = config["config_groups"]["group_0"]["weights"]["group_size"];
  if (!group.is_null()) quantization.set("group_size", group);
  if (config["kv_cache_scheme"].is_object()) quantization.set("kv_cache_quant_algo", "FP8");
  quantization.set("exclude_modules", config["ignore"]);
  return Json::object({{"producer", producer()}, {"quantization", std::move(quantization)}});
}

std::optional<std::string> cannot_hold_kv(const KvScheme& scheme) {
  if (scheme.calibrated && !scheme.per_head) return std::nullopt;
  return "its cache is FP8 under one scale per layer";
}

void set_kv(Json& config, const KvScheme&, std::int64_t) {
  config.set("kv_cache_scheme",
             Json::object({{"dynamic", false}, {"num_bits", 8}, {"type", "float"}}));
}

}  // namespace

LinearScheme Algorithm::scheme() const {
  LinearScheme scheme{.weight = Scheme::parse(weight).value(), .input = std::nullopt};
  if (!input.empty()) scheme.input = ActivationScheme::parse(input).value();
  complete(scheme, DType::kF32);
  return scheme;
}

std::span<const Algorithm> algorithms() { return kAlgorithms; }

const Algorithm* algorithm(std::string_view name) {
  const auto* found = std::ranges::find(kAlgorithms, name, &Algorithm::name);
  return found == kAlgorithms.end() ? nullptr : found;
}

constinit const DialectWriter kWriter = {.complete = complete,
                                         .cannot_hold = cannot_hold,
                                         .row_multiple = row_multiple,
                                         .plan = plan,
                                         .pack = pack,
                                         .write_config = write_config,
                                         .to_side_file = to_side_file,
                                         .set_kv = set_kv,
                                         .cannot_hold_kv = cannot_hold_kv,
                                         .key_scale = "k_proj.k_scale",
                                         .value_scale = "v_proj.v_scale"};

}  // namespace quantlane::modelopt
