// The key-value scheme of a quantized checkpoint and its scales.
#include <algorithm>
#include <cmath>
#include <string>

#include "containers/tensor_size.h"
#include "core/check.h"
#include "model/checkpoint.h"
#include "model/kv_scale_names.h"

namespace quantlane {
namespace {

// `key`: the scale of keys, else that of values.
const TensorInfo* find_scale(const Container& container, const std::string& attention, bool key) {
  const TensorInfo* found = nullptr;
  for (const KvScaleName& row : kKvScaleNames) {
    if (row.key != key) continue;
    if (const TensorInfo* tensor = container.find(attention + std::string(row.ending)))
      found = tensor;
  }
  return found;
}

std::string attention_of(const Graph& graph, std::int64_t layer) {
  const Parameter* key = graph.find(Role::kKey, layer);
  QUANTLANE_CHECK(key != nullptr);
  const std::string_view module = key->module();
  return std::string(module.substr(0, module.rfind('.')));
}

// `count` scales from a tensor of one or of that many.
Result<void> add_scales(const Container& container, const TensorInfo* tensor, std::int64_t count,
                        std::vector<float>& scales) {
  if (tensor == nullptr) {
    scales.insert(scales.end(), static_cast<std::size_t>(count), 1.0F);
    return {};
  }
  const auto wrong = [&] {
    return corrupt("reading a scale of the key-value cache")
        .in(container.files()[tensor->shard])
        .of(tensor->name)
        .at(tensor->offset);
  };
  const bool floats = tensor->type.block == nullptr && is_float(tensor->type.plain);
  const std::int64_t stored = tensor->element_count();
  if (!floats || (stored != 1 && stored != count)) {
    return fail(wrong()
                    .expects(count == 1 ? "one float" : "1 or " + std::to_string(count) + " floats")
                    .got(std::string(tensor->type.name()) + " " + shape_text(tensor->shape)));
  }
  std::vector<float> values(static_cast<std::size_t>(stored));
  decode_plain(tensor->type.plain, container.bytes(*tensor).data(), stored, values.data());
  for (const float value : values) {
    if (value > 0 && std::isfinite(value)) continue;
    return fail(wrong().expects("positive scales").got(std::to_string(value)));
  }
  values.resize(static_cast<std::size_t>(count), values[0]);
  scales.insert(scales.end(), values.begin(), values.end());
  return {};
}

}  // namespace

Result<KvRounding> Checkpoint::kv_rounding() const {
  KvRounding rounding;
  if (quantization_ == nullptr || !graph_) return rounding;
  if (!quantization_->kv_unknown.empty()) {
    return fail(
        unsupported("reading the scheme of the key-value cache")
            .in((folder() / "config.json").string())
            .of("kv_cache_scheme")
            .expects("FP8 with static scales per tensor or per head, or INT8 or INT4 with dynamic "
                     "scales per token and head")
            .got(quantization_->kv_unknown)
            .advise("set it to null to evaluate with a float cache"));
  }
  if (quantization_->kv_scheme.empty()) return rounding;
  QUANTLANE_TRY(rounding.scheme, find_kv_scheme(quantization_->kv_scheme));
  rounding.heads = graph_->config.kv_head_count;
  const std::int64_t group = quantization_->kv_group_size;
  if (group != 0 && group != graph_->config.head_dim) {
    return fail(unsupported("reading the scheme of the key-value cache")
                    .in((folder() / "config.json").string())
                    .of("kv_cache_scheme")
                    .expects("groups of " + std::to_string(graph_->config.head_dim) +
                             ", a scale per token and head")
                    .got("group_size " + std::to_string(group))
                    .advise("set it to null to evaluate with a float cache"));
  }
  if (!rounding.scheme->calibrated) return rounding;
  const std::int64_t count = rounding.scheme->per_head ? rounding.heads : 1;
  for (std::int64_t layer = 0; layer < graph_->config.layer_count; ++layer) {
    const std::string attention = attention_of(*graph_, layer);
    QUANTLANE_TRY_VOID(add_scales(*container_, find_scale(*container_, attention, true), count,
                                  rounding.key_scales));
    QUANTLANE_TRY_VOID(add_scales(*container_, find_scale(*container_, attention, false), count,
                                  rounding.value_scales));
  }
  const std::vector<std::string> missing = missing_kv_scales();
  if (!missing.empty()) {
    return fail(make_error(ErrorCode::kCorrupt, "reading the scales of the key-value cache")
                    .in(folder().string())
                    .of(missing.front())
                    .expects("a scale in every layer, or in none")
                    .got(std::to_string(missing.size()) + " missing")
                    .advise("export it again, or drop the cache with quantize --kv none"));
  }
  return rounding;
}

std::vector<std::string> Checkpoint::missing_kv_scales() const {
  if (quantization_ == nullptr || !graph_ || quantization_->kv_scheme.empty()) return {};
  std::vector<std::string> missing;
  for (const bool key : {true, false}) {
    std::vector<std::string> without;
    for (std::int64_t layer = 0; layer < graph_->config.layer_count; ++layer) {
      const std::string attention = attention_of(*graph_, layer);
      if (find_scale(*container_, attention, key) != nullptr) continue;
      without.push_back(attention + (key ? ": no k_scale" : ": no v_scale"));
    }
    // Without any they all count as 1, as some exports mean it.
    if (static_cast<std::int64_t>(without.size()) == graph_->config.layer_count) continue;
    missing.insert(missing.end(), without.begin(), without.end());
  }
  return missing;
}

bool names_kv_scale(std::string_view tensor) {
  return std::ranges::any_of(kKvScaleNames,
                             [&](const KvScaleName& row) { return tensor.ends_with(row.ending); });
}

}  // namespace quantlane
