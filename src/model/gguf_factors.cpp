#include "model/gguf_factors.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include <fmt/format.h>

#include "core/check.h"

namespace quantlane {
namespace {

constexpr std::string_view kWeight = ".weight";
constexpr std::string_view kScale = ".scale";

float value_at(const Container& container, const TensorInfo& tensor, std::int64_t index) {
  float value = 0;
  std::memcpy(&value, container.bytes(tensor).data() + index * std::int64_t{sizeof value},
              sizeof value);
  return value;
}

Error refusal(Error error, const Container& container, const TensorInfo& tensor) {
  return at_tensor(std::move(error), container, tensor)
      .advise("quantize the original checkpoint instead");
}

}  // namespace

std::string factor_name(std::string_view tensor) {
  if (tensor.ends_with(kWeight)) tensor.remove_suffix(kWeight.size());
  return std::string(tensor) + std::string(kScale);
}

Result<void> verify_factors(const Container& container, const Graph& graph) {
  if (std::ranges::none_of(container.tensors(), [](const TensorInfo& tensor) {
        return tensor.name.ends_with(kScale);
      })) {
    return {};
  }
  // How many values belong beside each tensor that may have some.
  std::map<std::string, std::int64_t, std::less<>> wanted;
  for (const GgufTensor& tensor : gguf_tensors(graph)) {
    const Parameter& first = *tensor.parameters.front();
    if (is_linear(first.role) && first.layer >= 0)
      wanted[factor_name(tensor.name)] = static_cast<std::int64_t>(tensor.parameters.size());
  }
  for (const TensorInfo& tensor : container.tensors()) {
    if (!tensor.name.ends_with(kScale)) continue;
    const auto place = wanted.find(tensor.name);
    if (place == wanted.end()) {
      return fail(refusal(unsupported("reading a GGUF file")
                              .expects("factors beside matrices of the layers")
                              .got("one beside no such matrix"),
                          container, tensor));
    }
    const std::int64_t count = tensor.element_count();
    if (tensor.type != ElementType{.plain = DType::kF32} || count != place->second) {
      return fail(refusal(corrupt("reading a GGUF file")
                              .expects(fmt::format("{} float32 values", place->second))
                              .got(fmt::format("{} of {}", count, tensor.type.name())),
                          container, tensor));
    }
    for (std::int64_t i = 0; i < count; ++i) {
      const float value = value_at(container, tensor, i);
      if (std::isfinite(value) && value != 0) continue;
      return fail(refusal(corrupt("reading a GGUF file")
                              .expects("a finite factor that is not zero")
                              .got(fmt::format("{}", value)),
                          container, tensor));
    }
  }
  return {};
}

float factor_beside(const Container& container, const Parameter& parameter,
                    const TensorInfo& stored) {
  if (!is_linear(parameter.role) || parameter.layer < 0) return 1;
  const TensorInfo* factors = container.find(factor_name(stored.name));
  if (factors == nullptr) return 1;
  return value_at(container, *factors, std::max<std::int64_t>(0, parameter.expert));
}

}  // namespace quantlane
