// The quantization_config that compressed-tensors gets from us.
#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "containers/dialects/compressed_tensors_formats.h"
#include "containers/dialects/compressed_tensors_parts.h"
#include "containers/dialects/packed_parts.h"

namespace quantlane::compressed_tensors {
namespace {

std::string_view format_name(Layout layout) {
  constexpr std::array<std::string_view, 6> kNames = {
      "float-quantized",      "int-quantized",        "pack-quantized",
      "nvfp4-pack-quantized", "mxfp4-pack-quantized", "mxfp8-quantized"};
  return kNames[static_cast<std::size_t>(layout)];
}

Json write_weights(const Scheme& scheme) {
  constexpr std::array<std::string_view, 5> kStrategies = {"tensor", "channel", "group", "token",
                                                           "block"};
  Json args;
  args.set("num_bits", scheme.bits);
  args.set("type", scheme.type == ValueType::kInt ? "int" : "float");
  args.set("symmetric", scheme.symmetric);
  args.set("strategy", scheme.tensor_scale != TensorScale::kNone
                           ? "tensor_group"
                           : kStrategies[static_cast<std::size_t>(scheme.granularity)]);
  if (scheme.granularity == Granularity::kGroup) args.set("group_size", scheme.group_size);
  if (scheme.granularity == Granularity::kBlock) {
    args.set("block_structure", Json::array().push(scheme.block_rows).push(scheme.group_size));
  }
  args.set("dynamic", false);
  if (scheme.scale_dtype == DType::kF8E8M0) args.set("scale_dtype", "torch.uint8");
  if (scheme.scale_dtype == DType::kF8E4M3) args.set("scale_dtype", "torch.float8_e4m3fn");
  return args;
}

Json write_input(const ActivationScheme& scheme) {
  Json args;
  args.set("num_bits", scheme.bits);
  args.set("type", scheme.type == ValueType::kInt ? "int" : "float");
  args.set("symmetric", true);
  if (scheme.granularity == Granularity::kGroup) {
    const bool local = scheme.scale_dtype == DType::kF8E4M3;
    args.set("strategy", local ? "tensor_group" : "group");
    args.set("group_size", scheme.group_size);
    args.set("dynamic", local ? Json("local") : Json(true));
    if (local) args.set("scale_dtype", "torch.float8_e4m3fn");
    if (scheme.scale_dtype == DType::kF8E8M0) args.set("scale_dtype", "torch.uint8");
  } else {
    args.set("strategy", scheme.dynamic ? "token" : "tensor");
    args.set("dynamic", scheme.dynamic);
  }
  return args;
}

}  // namespace

Layout layout_of(const LinearScheme& scheme) {
  const Scheme& w = scheme.weight;
  if (w.type == ValueType::kInt) return scheme.input ? Layout::kInt : Layout::kPacked;
  if (w.tensor_scale != TensorScale::kNone) return Layout::kNvfp4;
  if (w.scale_dtype == DType::kF8E8M0) return w.bits == 4 ? Layout::kMxfp4 : Layout::kMxfp8;
  return Layout::kFloat;
}

namespace {

Json write_group(const LinearScheme& scheme, Json targets) {
  Json group;
  group.set("targets", std::move(targets));
  group.set("weights", write_weights(scheme.weight));
  group.set("input_activations", scheme.input ? write_input(*scheme.input) : Json());
  group.set("output_activations", Json());
  return group;
}

Json frame(std::string_view format, std::span<const std::string> ignore, Json groups) {
  Json ignored = Json::array();
  for (const std::string& name : ignore) ignored.push(name);
  Json config;
  config.set("quant_method", kName);
  config.set("quantization_status", "compressed");
  config.set("format", format);
  config.set("ignore", std::move(ignored));
  config.set("kv_cache_scheme", Json());
  config.set("config_groups", std::move(groups));
  return config;
}

// All experts of a layer are alike, and there may be thousands: one expression for each of their
// parts. The others are named.
std::string target_of(const std::string& module) {
  constexpr std::string_view kExperts = ".experts.";
  const std::size_t experts = module.find(kExperts);
  if (experts == std::string::npos) return module;
  const std::size_t number = experts + kExperts.size();
  const std::size_t end = std::min(module.find('.', number), module.size());
  return "re:" + escaped_expression(module.substr(0, number)) + "[0-9]+" +
         escaped_expression(module.substr(end)) + "$";
}

}  // namespace

Json write_config(const LinearScheme& scheme, std::span<const std::string> ignore) {
  const std::string_view format = format_name(layout_of(scheme));
  return frame(format, ignore,
               Json::object({{"group_0", write_group(scheme, Json::array().push("Linear"))}}));
}

// Without groups nothing but the cache is quantized: "dense", as the library writes it.
// Every module is named: engines ask a class name ("Linear") before the shards of what they fuse.
Json write_groups(std::span<const SchemeGroup> groups, std::span<const std::string> ignore) {
  Json written = Json(Json::Object{});
  std::set<std::string_view> formats;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const std::string_view format = format_name(layout_of(groups[i].scheme));
    formats.insert(format);
    std::set<std::string> known;
    Json targets = Json::array();
    for (const std::string& module : groups[i].modules) {
      if (std::string target = target_of(module); known.insert(target).second)
        targets.push(std::move(target));
    }
    Json group = write_group(groups[i].scheme, std::move(targets));
    group.set("format", format);
    written.set("group_" + std::to_string(i), std::move(group));
  }
  const std::string_view common = formats.empty() ? kDense : *formats.begin();
  return frame(formats.size() > 1 ? "mixed-precision" : common, ignore, std::move(written));
}

// A scale per token and head is one of groups as wide as a head.
void set_kv(Json& config, const KvScheme& scheme, std::int64_t head_dim) {
  Json args = Json::object({{"num_bits", scheme.bits},
                            {"type", scheme.calibrated ? "float" : "int"},
                            {"symmetric", true},
                            {"strategy", !scheme.calibrated ? "group"
                                         : scheme.per_head  ? "attn_head"
                                                            : "tensor"},
                            {"dynamic", !scheme.calibrated}});
  if (!scheme.calibrated) args.set("group_size", head_dim);
  config.set("kv_cache_scheme", std::move(args));
}

}  // namespace quantlane::compressed_tensors
