#include "model/adapters/adapter_parts.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "core/check.h"
#include "core/file.h"

namespace quantlane {

Result<std::vector<float>> AdapterTensors::take(const TensorInfo& tensor) {
  if (tensor.type.block == nullptr && !is_float(tensor.type.plain)) {
    return fail(unsupported("reading an adapter")
                    .in(origin_)
                    .of(tensor.name)
                    .expects("floats")
                    .got(std::string(tensor.type.name())));
  }
  std::vector<float> values(static_cast<std::size_t>(tensor.element_count()));
  QUANTLANE_TRY_VOID(decode_rows(container_, tensor, 0, tensor.rows(), values.data()));
  if (!std::ranges::all_of(values, [](float v) { return std::isfinite(v); })) {
    return fail(corrupt("reading an adapter")
                    .in(origin_)
                    .of(tensor.name)
                    .expects("finite numbers")
                    .got("NaN or infinity"));
  }
  used_.insert(tensor.name);
  return values;
}

const TensorInfo* AdapterTensors::find(std::span<const std::string_view> prefixes,
                                       const std::string& name) const {
  for (const std::string_view prefix : prefixes) {
    if (const TensorInfo* found = find(std::string(prefix) + name)) return found;
  }
  return nullptr;
}

Result<void> AdapterTensors::check_all_used() const {
  std::string first;
  std::size_t unused = 0;
  for (const TensorInfo& tensor : container_.tensors()) {
    if (used_.contains(tensor.name)) continue;
    if (unused++ == 0) first = tensor.name;
  }
  if (unused == 0) return {};
  return fail(invalid("using every tensor of an adapter")
                  .in(origin_)
                  .of(first)
                  .expects("tensors that belong to parameters of the base")
                  .got(std::to_string(unused) + " without one")
                  .advise("is this the model that the adapter was trained on?"));
}

std::vector<float> transposed(const std::vector<float>& values, std::int64_t rows,
                              std::int64_t cols) {
  std::vector<float> result(values.size());
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < cols; ++c) {
      result[static_cast<std::size_t>(c * rows + r)] =
          values[static_cast<std::size_t>(r * cols + c)];
    }
  }
  return result;
}

const Parameter* find_parameter(const Graph& graph, std::string_view name) {
  const auto found = std::ranges::find(graph.parameters, name, &Parameter::name);
  return found == graph.parameters.end() ? nullptr : &*found;
}

bool takes_delta(const Parameter& parameter) {
  return is_linear(parameter.role) || parameter.role == Role::kEmbedding;
}

std::string adapter_module(const Parameter& parameter) {
  constexpr std::string_view kSuffix = ".weight";
  return parameter.name.ends_with(kSuffix)
             ? parameter.name.substr(0, parameter.name.size() - kSuffix.size())
             : parameter.name;
}

Error other_base(const std::string& file, const std::string& tensor, std::string expected,
                 std::string found) {
  return invalid("matching an adapter with its base")
      .in(file)
      .of(tensor)
      .expects(std::move(expected))
      .got(std::move(found))
      .advise("is this the model that the adapter was trained on?");
}

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::string text;
  for (const std::int64_t extent : shape) {
    text += (text.empty() ? "" : ", ") + std::to_string(extent);
  }
  return "[" + text + "]";
}

Result<Json> read_adapter_config(const fs::path& path) {
  QUANTLANE_TRY(const std::string text, read_text(path, std::uint64_t{1} << 20));
  QUANTLANE_TRY(Json config, Json::parse(text, path.string()));
  if (!config.is_object()) {
    return fail(
        corrupt("reading an adapter's configuration").in(path.string()).expects("a JSON object"));
  }
  return config;
}

Result<std::int64_t> positive_integer(const Json& config, const std::string& key,
                                      const std::string& origin) {
  constexpr std::int64_t kMost = 1'000'000;
  const Json& value = config[key];
  if (value.is_integer() && value.integer() >= 1 && value.integer() <= kMost) {
    return value.integer();
  }
  return fail(corrupt("reading an adapter's configuration")
                  .in(origin)
                  .of(key)
                  .expects("an integer from 1 to a million")
                  .got(value.dump()));
}

Error bad_adapter_value(const std::string& origin, const std::string& key, std::string expected,
                        std::string found, const std::string& tool) {
  return corrupt("reading an adapter's configuration")
      .in(origin)
      .of(key)
      .expects(std::move(expected))
      .got(std::move(found))
      .advise("mend the key, or save the adapter again with " + tool);
}

Result<void> check_scale(double scale, const std::string& key, const std::string& origin) {
  if (std::abs(scale) >= 0x1p-126 && std::abs(scale) <= 0x1.fffffep127) return {};
  return fail(corrupt("reading an adapter's configuration")
                  .in(origin)
                  .of(key)
                  .expects("a scale that is not 0, which would merge nothing, within float32")
                  .got(fmt::format("{}", scale))
                  .advise("mend the value, or save the adapter again"));
}

}  // namespace quantlane
