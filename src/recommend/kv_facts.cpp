#include "recommend/kv_facts.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <string_view>

#include "model/kv_scale_names.h"
#include "tensor/dtype.h"

namespace quantlane {
namespace {

constexpr std::string_view kKeyWeights = ".k_proj.weight";

// "model." of "model.layers.0.self_attn": language and vision towers each are a stack.
std::string_view stack_of(std::string_view attention) {
  return attention.substr(0, std::min(attention.rfind("layers."), attention.size()));
}

KvScaleFacts read_scale(const Container& container, const TensorInfo& tensor, bool read_values) {
  KvScaleFacts scale{.tensor = tensor.name, .count = tensor.element_count()};
  if (!read_values || scale.count < 1) return scale;
  if (tensor.type.block != nullptr || !is_float(tensor.type.plain)) {
    scale.unusable = std::numeric_limits<float>::quiet_NaN();
    return scale;
  }
  std::vector<float> values(static_cast<std::size_t>(scale.count));
  decode_plain(tensor.type.plain, container.bytes(tensor).data(), scale.count, values.data());
  const auto wrong = std::ranges::find_if_not(
      values, [](float value) { return value > 0 && std::isfinite(value); });
  if (wrong != values.end()) scale.unusable = *wrong;
  return scale;
}

}  // namespace

std::vector<AttentionFacts> read_kv_scales(const Container& container, bool read_values) {
  std::vector<AttentionFacts> attentions;
  const auto of = [&](std::string_view name) -> AttentionFacts& {
    const auto found = std::ranges::find(attentions, name, &AttentionFacts::name);
    if (found != attentions.end()) return *found;
    return attentions.emplace_back(AttentionFacts{.name = std::string(name)});
  };
  std::set<std::string, std::less<>> stacks;
  for (const TensorInfo& tensor : container.tensors()) {
    const std::string_view name = tensor.name;
    if (const auto at = name.rfind(kKeyWeights); at != std::string_view::npos) {
      of(name.substr(0, at));  // "weight", "weight_packed", …
      continue;
    }
    const auto row = std::ranges::find_if(
        kKvScaleNames, [&](const KvScaleName& known) { return name.ends_with(known.ending); });
    if (row == kKvScaleNames.end()) continue;
    AttentionFacts& attention = of(name.substr(0, name.size() - row->ending.size()));
    KvScaleFacts& scale = row->key ? attention.key : attention.value;
    if (!scale.stored()) scale = read_scale(container, tensor, read_values);
    stacks.emplace(stack_of(attention.name));
  }
  std::erase_if(attentions, [&](const AttentionFacts& attention) {
    return !stacks.contains(stack_of(attention.name));
  });
  return attentions;
}

}  // namespace quantlane
