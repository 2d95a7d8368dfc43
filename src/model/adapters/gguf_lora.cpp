// Tensors are named as those of the model + ".lora_a" [r, in] and ".lora_b" [out, r]; the scale is
// adapter.lora.alpha / r. Rows of lora_b of q and k are permuted as those of the model are; of
// token_embd lora_a is [V, r]. Source: convert_lora_to_gguf.py, src/llama-adapter.cpp and
// src/llama-graph.cpp (build_inp_embd) of llama.cpp.
#include "model/adapters/gguf_lora.h"

#include <cmath>

#include <fmt/format.h>

#include "containers/gguf.h"
#include "core/check.h"
#include "core/file.h"
#include "model/adapters/adapter_parts.h"

namespace quantlane {
namespace {

bool recognises(const fs::path& path) {
  std::error_code code;
  return fs::is_regular_file(path, code) && is_gguf(path);
}

Result<double> check_header(const Metadata& metadata, const std::string& origin,
                            const AdapterBase& base) {
  const auto text = [&](const char* key) {
    const std::string* value = metadata.string(key);
    return value == nullptr ? std::string("nothing") : *value;
  };
  if (text("general.type") != "adapter" || text("adapter.type") != "lora") {
    return fail(unsupported("reading an adapter")
                    .in(origin)
                    .of("general.type, adapter.type")
                    .expects("adapter, lora")
                    .got(text("general.type") + ", " + text("adapter.type")));
  }
  if (text("general.architecture") != base.architecture.gguf_name) {
    return fail(other_base(origin, "general.architecture", std::string(base.architecture.gguf_name),
                           text("general.architecture")));
  }
  if (metadata.find("adapter.alora.invocation_tokens") != nullptr) {
    return fail(unsupported("merging an adapter")
                    .in(origin)
                    .of("adapter.alora.invocation_tokens")
                    .expects("an adapter that is always active"));
  }
  const auto alpha = metadata.number("adapter.lora.alpha");
  if (!alpha || !std::isfinite(*alpha)) {
    return fail(corrupt("reading an adapter")
                    .in(origin)
                    .of("adapter.lora.alpha")
                    .expects("a number")
                    .got(alpha                                 ? fmt::format("{}", *alpha)
                         : metadata.find("adapter.lora.alpha") ? "another type"
                                                               : "no such key")
                    .advise("convert it again with convert_lora_to_gguf.py"));
  }
  if (*alpha != 0) QUANTLANE_TRY_VOID(check_scale(*alpha, "adapter.lora.alpha", origin));
  return *alpha;
}

Result<void> read_delta(const Parameter& parameter, double alpha, AdapterTensors& tensors,
                        const AdapterBase& base, Adapter& adapter) {
  const std::string name = gguf_name(parameter);
  const TensorInfo* a = tensors.find(name + ".lora_a");
  const TensorInfo* b = tensors.find(name + ".lora_b");
  if (a == nullptr && b == nullptr) return {};
  if (a == nullptr || b == nullptr || b->shape.size() != 2 || b->shape[1] < 1) {
    return fail(corrupt("reading an adapter")
                    .in(tensors.origin())
                    .of(name)
                    .expects("matrices lora_a and lora_b")
                    .got(a == nullptr || b == nullptr ? "one of them" : shape_text(b->shape)));
  }
  const bool embedding = parameter.role == Role::kEmbedding;
  const std::int64_t rank = b->shape[1];
  const std::vector<std::int64_t> shape_a =
      embedding ? std::vector{parameter.rows, rank} : std::vector{rank, parameter.cols};
  const std::vector<std::int64_t> shape_b = {embedding ? parameter.cols : parameter.rows, rank};
  for (const auto& [tensor, shape] : {std::pair{a, shape_a}, std::pair{b, shape_b}}) {
    if (tensor->shape == shape) continue;
    return fail(other_base(tensors.origin(), tensor->name, shape_text(shape) + " for " + base.path,
                           shape_text(tensor->shape)));
  }
  AdapterDelta delta{.rank = rank,
                     // llama.cpp takes an alpha of 0 for "none given".
                     .scale = alpha == 0 ? 1 : alpha / static_cast<double>(rank),
                     .a = {},
                     .b = {},
                     .magnitude = {},
                     .of_columns = false,
                     .tensors = {a->name, b->name}};
  QUANTLANE_TRY(delta.a, tensors.take(*a));
  QUANTLANE_TRY(delta.b, tensors.take(*b));
  if (embedding) {
    std::vector<float> rows = std::move(delta.a);
    delta.a = transposed(delta.b, parameter.cols, rank);
    delta.b = std::move(rows);
  }
  const bool rotated = parameter.role == Role::kQuery || parameter.role == Role::kKey;
  if (rotated && base.architecture.permutes_qk) {
    const std::vector<float> stored = delta.b;
    for (std::int64_t row = 0; row < parameter.rows; ++row) {
      const std::int64_t from = permuted_qk_row(row, base.graph.config.head_dim);
      std::copy_n(stored.begin() + from * rank, rank, delta.b.begin() + row * rank);
    }
  }
  adapter.deltas.emplace(parameter.name, std::move(delta));
  return {};
}

Result<Adapter> read(const fs::path& path, const AdapterBase& base) {
  QUANTLANE_TRY(const auto container, open_gguf(path));
  const std::string origin = path.string();
  QUANTLANE_TRY(const double alpha, check_header(container->metadata(), origin, base));
  AdapterTensors tensors(*container, origin);
  const std::string* made_for = container->metadata().string("general.base_model.0.name");
  Adapter adapter{.path = path,
                  .format = "gguf",
                  .made_for = made_for == nullptr ? "" : *made_for,
                  .deltas = {},
                  .replacements = {},
                  .rows = {},
                  .notices = {}};
  if (alpha == 0) {
    adapter.notices.emplace_back("adapter.lora.alpha is 0: the scale is 1, as in llama.cpp");
  } else if (alpha < 0) {
    adapter.notices.push_back(fmt::format(
        "adapter.lora.alpha is {}: the change is subtracted from the base, as in llama.cpp",
        alpha));
  }
  for (const Parameter& parameter : base.graph.parameters) {
    if (!takes_delta(parameter)) continue;
    QUANTLANE_TRY_VOID(read_delta(parameter, alpha, tensors, base, adapter));
  }
  QUANTLANE_TRY_VOID(tensors.check_all_used());
  if (adapter.deltas.empty()) {
    return fail(other_base(origin, "", "at least one matrix of " + base.path, "none"));
  }
  return adapter;
}

}  // namespace

constinit const AdapterFormat kGgufLora = {.name = "gguf", .recognises = recognises, .read = read};

}  // namespace quantlane
