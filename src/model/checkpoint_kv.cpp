// The key-value scheme of a quantized checkpoint and its scales.
#include <array>
#include <cmath>
#include <string>

#include "containers/tensor_size.h"
#include "core/check.h"
#include "model/checkpoint.h"

namespace quantlane {
namespace {

// Where writers put the scale of keys (or values), below the attention: compressed-tensors,
// ModelOpt, Quark and old compressed-tensors.
std::array<std::string, 3> scale_names(const std::string& attention, std::string_view which) {
  const std::string proj = attention + std::string(which) + "_proj.";
  return {attention + std::string(which) + "_scale", proj + std::string(which) + "_scale",
          proj + "output_scale"};
}

const TensorInfo* find_scale(const Container& container, const std::string& attention,
                             std::string_view which) {
  for (const std::string& name : scale_names(attention, which)) {
    if (const TensorInfo* tensor = container.find(name)) return tensor;
  }
  return nullptr;
}

std::string attention_of(const Graph& graph, std::int64_t layer) {
  const Parameter* key = graph.find(Role::kKey, layer);
  QUANTLANE_CHECK(key != nullptr);
  const std::string_view module = key->module();
  return std::string(module.substr(0, module.rfind('.') + 1));
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
    QUANTLANE_TRY_VOID(add_scales(*container_, find_scale(*container_, attention, "k"), count,
                                  rounding.key_scales));
    QUANTLANE_TRY_VOID(add_scales(*container_, find_scale(*container_, attention, "v"), count,
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
  for (const char* which : {"k", "v"}) {
    std::vector<std::string> without;
    for (std::int64_t layer = 0; layer < graph_->config.layer_count; ++layer) {
      const std::string attention = attention_of(*graph_, layer);
      if (find_scale(*container_, attention, which) != nullptr) continue;
      without.push_back(attention.substr(0, attention.size() - 1) + ": no " + which + "_scale");
    }
    // Without any they all count as 1, as some exports mean it.
    if (static_cast<std::int64_t>(without.size()) == graph_->config.layer_count) continue;
    missing.insert(missing.end(), without.begin(), without.end());
  }
  return missing;
}

bool names_kv_scale(std::string_view tensor) {
  for (const std::string_view which : {"k", "v"}) {
    for (const std::string& name : scale_names(".", which)) {
      if (tensor.ends_with(name)) return true;
    }
  }
  return false;
}

}  // namespace quantlane
