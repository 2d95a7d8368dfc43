// Tensors are named module + ".lora_a" [in, r], ".lora_b" [r, out], for DoRA ".m" [out]; of
// embeddings ".lora_a" [V, r], ".lora_b" [r, D]. W' = W + scale * (lora_a lora_b)^T, of embeddings
// without the transposition. Source: mlx_lm/tuner/lora.py, dora.py of mlx-lm.
#include "model/adapters/mlx.h"

#include <cmath>

#include "core/check.h"
#include "core/file.h"
#include "model/adapters/adapter_parts.h"

namespace quantlane {
namespace {

constexpr std::string_view kConfig = "adapter_config.json";
constexpr std::string_view kWeights = "adapters.safetensors";

bool recognises(const fs::path& path) {
  std::error_code code;
  return fs::exists(path / kConfig, code) && fs::exists(path / kWeights, code);
}

// lora_parameters.scale; files that only have alpha and rank mean alpha / rank.
Result<double> scale_of(const Json& config, const std::string& origin) {
  const Json& parameters = config["lora_parameters"];
  if (parameters["scale"].is_number() && std::isfinite(parameters["scale"].number())) {
    return parameters["scale"].number();
  }
  const double rank = parameters["rank"].number();
  if (parameters["alpha"].is_number() && rank > 0) return parameters["alpha"].number() / rank;
  return fail(corrupt("reading an adapter's configuration")
                  .in(origin)
                  .of("lora_parameters.scale")
                  .expects("a number")
                  .got(parameters["scale"].dump()));
}

Result<void> check_shape(const TensorInfo& tensor, const std::vector<std::int64_t>& shape,
                         const AdapterTensors& tensors, const AdapterBase& base) {
  if (tensor.shape == shape) return {};
  return fail(other_base(tensors.origin(), tensor.name, shape_text(shape) + " for " + base.path,
                         shape_text(tensor.shape)));
}

Result<void> read_delta(const Parameter& parameter, double scale, AdapterTensors& tensors,
                        const AdapterBase& base, Adapter& adapter) {
  const std::string module = adapter_module(parameter);
  const TensorInfo* a = tensors.find(module + ".lora_a");
  const TensorInfo* b = tensors.find(module + ".lora_b");
  const TensorInfo* m = tensors.find(module + ".m");
  if (a == nullptr && b == nullptr && m == nullptr) return {};
  if (a == nullptr || b == nullptr || a->shape.size() != 2 || a->shape[1] < 1) {
    return fail(corrupt("reading an adapter")
                    .in(tensors.origin())
                    .of(module)
                    .expects("matrices lora_a and lora_b")
                    .got(a == nullptr || b == nullptr ? "one of them" : shape_text(a->shape)));
  }
  const bool embedding = parameter.role == Role::kEmbedding;
  const std::int64_t rank = a->shape[1];
  const std::int64_t in = embedding ? parameter.rows : parameter.cols;
  const std::int64_t out = embedding ? parameter.cols : parameter.rows;
  QUANTLANE_TRY_VOID(check_shape(*a, {in, rank}, tensors, base));
  QUANTLANE_TRY_VOID(check_shape(*b, {rank, out}, tensors, base));
  AdapterDelta delta{.rank = rank,
                     .scale = scale,
                     .a = {},
                     .b = {},
                     .magnitude = {},
                     .tensors = {a->name, b->name}};
  QUANTLANE_TRY(std::vector<float> first, tensors.take(*a));
  QUANTLANE_TRY(std::vector<float> second, tensors.take(*b));
  if (embedding) {
    delta.b = std::move(first);
    delta.a = std::move(second);
  } else {
    delta.a = transposed(first, in, rank);
    delta.b = transposed(second, rank, out);
  }
  if (m != nullptr) {
    QUANTLANE_TRY_VOID(check_shape(*m, {parameter.rows}, tensors, base));
    QUANTLANE_TRY(delta.magnitude, tensors.take(*m));
    delta.tensors.push_back(m->name);
  }
  adapter.deltas.emplace(parameter.name, std::move(delta));
  return {};
}

// fine_tune_type "full": parameters given whole.
Result<void> read_replacement(const Parameter& parameter, AdapterTensors& tensors,
                              const AdapterBase& base, Adapter& adapter) {
  const TensorInfo* tensor = tensors.find(parameter.name);
  if (tensor == nullptr) return {};
  QUANTLANE_TRY_VOID(check_shape(*tensor,
                                 takes_delta(parameter)
                                     ? std::vector{parameter.rows, parameter.cols}
                                     : std::vector{parameter.cols},
                                 tensors, base));
  QUANTLANE_TRY(std::vector<float> values, tensors.take(*tensor));
  adapter.replacements.emplace(
      parameter.name, AdapterReplacement{.values = std::move(values), .tensor = tensor->name});
  return {};
}

Result<Adapter> read(const fs::path& path, const AdapterBase& base) {
  const std::string origin = (path / kConfig).string();
  QUANTLANE_TRY(const Json config, read_adapter_config(origin));
  const std::string_view type = config["fine_tune_type"].string("lora");
  if (type != "lora" && type != "dora" && type != "full") {
    return fail(unsupported("merging an adapter")
                    .in(origin)
                    .of("fine_tune_type")
                    .expects("lora, dora or full")
                    .got(std::string(type)));
  }
  double scale = 1;
  if (type != "full") {
    QUANTLANE_TRY(scale, scale_of(config, origin));
  }
  QUANTLANE_TRY(const auto container, open_container(path / kWeights));
  AdapterTensors tensors(*container, (path / kWeights).string());
  Adapter adapter{.path = path,
                  .format = "mlx",
                  .made_for = std::string(config["model"].string()),
                  .deltas = {},
                  .replacements = {},
                  .notices = {}};
  for (const Parameter& parameter : base.graph.parameters) {
    if (takes_delta(parameter)) {
      QUANTLANE_TRY_VOID(read_delta(parameter, scale, tensors, base, adapter));
    }
    QUANTLANE_TRY_VOID(read_replacement(parameter, tensors, base, adapter));
  }
  QUANTLANE_TRY_VOID(tensors.check_all_used());
  if (adapter.deltas.empty() && adapter.replacements.empty()) {
    return fail(other_base(tensors.origin(), "", "at least one parameter of " + base.path, "none"));
  }
  return adapter;
}

}  // namespace

constinit const AdapterFormat kMlx = {.name = "mlx", .recognises = recognises, .read = read};

}  // namespace quantlane
