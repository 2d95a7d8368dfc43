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

Error bad_mlx_value(const std::string& origin, const std::string& key, std::string expected,
                    std::string found) {
  return bad_adapter_value(origin, key, std::move(expected), std::move(found), "mlx_lm");
}

// What the configuration says about every matrix.
struct MlxTraining {
  std::string type;  // fine_tune_type
  double scale = 1;
  std::int64_t rank = 0;  // 0: not given
};

// lora_parameters.scale; files that only have alpha and rank mean alpha / rank.
Result<void> read_scale(const Json& config, const std::string& origin, MlxTraining& training) {
  const Json& parameters = config["lora_parameters"];
  for (const char* key : {"scale", "alpha", "rank"}) {
    const Json& value = parameters[key];
    if (value.is_null() || value.is_number()) continue;
    return fail(
        bad_mlx_value(origin, std::string("lora_parameters.") + key, "a number", value.dump()));
  }
  if (!parameters["rank"].is_null()) {
    QUANTLANE_TRY(training.rank, positive_integer(parameters, "rank", origin));
  }
  const bool own = parameters["scale"].is_number();
  if (!own && (training.rank == 0 || parameters["alpha"].is_null())) {
    return fail(bad_mlx_value(origin, "lora_parameters.scale", "a number", parameters.dump()));
  }
  training.scale = own ? parameters["scale"].number()
                       : parameters["alpha"].number() / static_cast<double>(training.rank);
  return check_scale(training.scale, own ? "lora_parameters.scale" : "lora_parameters.alpha",
                     origin);
}

Result<MlxTraining> read_training(const Json& config, const std::string& origin) {
  const Json& type = config["fine_tune_type"];
  const Json& old = config["use_dora"];  // before there was fine_tune_type
  if (!type.is_null() && !type.is_string()) {
    return fail(bad_mlx_value(origin, "fine_tune_type", "a string", type.dump()));
  }
  if (!old.is_null() && !old.is_bool()) {
    return fail(bad_mlx_value(origin, "use_dora", "true or false", old.dump()));
  }
  MlxTraining training{.type = std::string(type.string(old.boolean() ? "dora" : "lora"))};
  if (training.type != "lora" && training.type != "dora" && training.type != "full") {
    return fail(unsupported("merging an adapter")
                    .in(origin)
                    .of("fine_tune_type")
                    .expects("lora, dora or full")
                    .got(training.type));
  }
  if (training.type == "full") return training;
  QUANTLANE_TRY_VOID(read_scale(config, origin, training));
  return training;
}

// Is what the file has of a module what the configuration says?
Result<void> check_training(const MlxTraining& training, const TensorInfo& a, const TensorInfo* m,
                            const AdapterTensors& tensors) {
  const auto differs = [&](const std::string& tensor, std::string expected, std::string found) {
    return fail(corrupt("reading an adapter")
                    .in(tensors.origin())
                    .of(tensor)
                    .expects(std::move(expected))
                    .got(std::move(found))
                    .advise("weights and adapter_config.json contradict each other: save both "
                            "again with mlx_lm"));
  };
  if (training.type == "full") {
    return differs(a.name, "whole parameters only (fine_tune_type full)", "a low-rank product");
  }
  if ((m != nullptr) != (training.type == "dora")) {
    return differs(m == nullptr ? a.name : m->name,
                   m == nullptr ? "a magnitude .m beside it (fine_tune_type dora)"
                                : "no magnitudes (fine_tune_type lora)",
                   m == nullptr ? "none" : "one");
  }
  if (training.rank != 0 && training.rank != a.shape[1]) {
    return differs(a.name, "rank " + std::to_string(training.rank) + " (lora_parameters.rank)",
                   shape_text(a.shape));
  }
  return {};
}

Result<void> check_shape(const TensorInfo& tensor, const std::vector<std::int64_t>& shape,
                         const AdapterTensors& tensors, const AdapterBase& base) {
  if (tensor.shape == shape) return {};
  return fail(other_base(tensors.origin(), tensor.name, shape_text(shape) + " for " + base.path,
                         shape_text(tensor.shape)));
}

Result<void> read_delta(const Parameter& parameter, const MlxTraining& training,
                        AdapterTensors& tensors, const AdapterBase& base, Adapter& adapter) {
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
  QUANTLANE_TRY_VOID(check_training(training, *a, m, tensors));
  const bool embedding = parameter.role == Role::kEmbedding;
  const std::int64_t rank = a->shape[1];
  const std::int64_t in = embedding ? parameter.rows : parameter.cols;
  const std::int64_t out = embedding ? parameter.cols : parameter.rows;
  QUANTLANE_TRY_VOID(check_shape(*a, {in, rank}, tensors, base));
  QUANTLANE_TRY_VOID(check_shape(*b, {rank, out}, tensors, base));
  AdapterDelta delta{.rank = rank,
                     .scale = training.scale,
                     .a = {},
                     .b = {},
                     .magnitude = {},
                     .of_columns = false,
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
  QUANTLANE_TRY(const MlxTraining training, read_training(config, origin));
  QUANTLANE_TRY(const auto container, open_container(path / kWeights));
  AdapterTensors tensors(*container, (path / kWeights).string());
  Adapter adapter{.path = path,
                  .format = "mlx",
                  .made_for = std::string(config["model"].string()),
                  .deltas = {},
                  .replacements = {},
                  .rows = {},
                  .notices = {}};
  for (const Parameter& parameter : base.graph.parameters) {
    if (takes_delta(parameter)) {
      QUANTLANE_TRY_VOID(read_delta(parameter, training, tensors, base, adapter));
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
