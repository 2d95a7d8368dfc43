#include "containers/dialects/gpt_oss_mxfp4.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <optional>
#include <utility>

#include "containers/dialects/linear_tensors.h"
#include "containers/dialects/module_patterns.h"
#include "core/check.h"
#include "core/json_members.h"

namespace quantlane {
namespace {

constexpr std::string_view kName = "mxfp4";
constexpr std::int64_t kGroup = 32;
constexpr std::int64_t kGroupBytes = 16;

bool recognises(const Json& config) { return config["quant_method"].string() == kName; }

// Where the rows of one expert's Linear lie in the tensors of all.
struct Place {
  std::string experts;  // "model.layers.0.mlp.experts"
  std::string tensor;   // "gate_up_proj"
  std::int64_t expert = 0;
  std::int64_t first = 0;   // row of the joined matrix
  std::int64_t stride = 1;  // between rows of this Linear
};

std::optional<Place> place_of(std::string_view module) {
  constexpr std::string_view kMiddle = ".experts.";
  const std::size_t at = module.find(kMiddle);
  if (at == std::string_view::npos) return std::nullopt;
  Place place;
  place.experts = module.substr(0, at + kMiddle.size() - 1);
  std::string_view rest = module.substr(at + kMiddle.size());
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), place.expert);
  if (error != std::errc() || place.expert < 0) return std::nullopt;
  rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
  if (rest == ".down_proj") {
    place.tensor = "down_proj";
  } else if (rest == ".gate_proj" || rest == ".up_proj") {
    place.tensor = "gate_up_proj";
    place.stride = 2;
    place.first = rest == ".up_proj" ? 1 : 0;
  } else {
    return std::nullopt;
  }
  return place;
}

class Map final : public QuantizationMap {
 public:
  explicit Map(const Container& container) : container_(container) {}
  ModulePatterns ignore;
  LinearScheme scheme;

  [[nodiscard]] std::optional<LinearScheme> scheme_of(std::string_view module) const override {
    const auto place = place_of(module);
    if (!place || ignore.matches(module)) return std::nullopt;
    const std::string blocks = place->experts + "." + place->tensor + "_blocks";
    return container_.find(blocks) != nullptr ? std::optional(scheme) : std::nullopt;
  }

 private:
  const Container& container_;
};

Result<std::unique_ptr<QuantizationMap>> read_map(const QuantizationSource& source) {
  auto map = std::make_unique<Map>(source.container);
  QUANTLANE_TRY(const JsonMembers config,
                JsonMembers::of(source.config, "reading the MXFP4 configuration", source.origin));
  QUANTLANE_TRY(map->ignore,
                ModulePatterns::read(config, "modules_to_not_convert", PatternStyle::kSubstrings));
  QUANTLANE_TRY(map->scheme.weight, Scheme::parse("mxfp4"));
  return map;
}

struct Found {
  Place place;
  const TensorInfo* blocks = nullptr;
  const TensorInfo* scales = nullptr;
  std::int64_t all_rows = 0;  // of the joined matrix
};

Result<Found> find(const Container& container, std::string_view module, std::int64_t rows,
                   std::int64_t cols) {
  const auto place = place_of(module);
  if (!place) {
    return fail(LinearTensors(container, module, kName)
                    .wrong_module()
                    .expects("gate_proj, up_proj or down_proj of an expert"));
  }
  const LinearTensors tensors(container, place->experts, kName);
  if (cols % kGroup != 0) {
    return fail(
        tensors.wrong_module().expects("columns in multiples of 32").got(std::to_string(cols)));
  }
  Found found{.place = *place, .all_rows = rows * place->stride};
  // The number of experts is what the tensor says.
  const TensorInfo* blocks = tensors.find(place->tensor + "_blocks");
  const std::int64_t experts = blocks != nullptr && !blocks->shape.empty() ? blocks->shape[0] : 1;
  QUANTLANE_TRY(found.blocks,
                tensors.require(place->tensor + "_blocks", {DType::kU8},
                                {experts, found.all_rows, cols / kGroup, kGroupBytes}));
  QUANTLANE_TRY(found.scales,
                tensors.require(place->tensor + "_scales", {DType::kU8, DType::kF8E8M0},
                                {experts, found.all_rows, cols / kGroup}));
  if (place->expert >= experts) {
    return fail(tensors.wrong(*found.blocks)
                    .expects("expert " + std::to_string(place->expert))
                    .got(std::to_string(experts) + " experts"));
  }
  return found;
}

Result<void> verify(const Container& container, std::string_view module, const LinearScheme&,
                    std::int64_t rows, std::int64_t cols) {
  QUANTLANE_TRY_VOID(find(container, module, rows, cols));
  return {};
}

Result<StoredLinear> unpack(const Container& container, std::string_view module,
                            const LinearScheme& scheme, std::int64_t rows, std::int64_t cols) {
  QUANTLANE_TRY(const Found found, find(container, module, rows, cols));
  StoredLinear linear = empty_linear(scheme, rows, cols);
  QuantTensor& tensor = linear.weight;
  const std::int64_t groups = cols / kGroup;
  const auto blocks = container.bytes(*found.blocks);
  const auto scales = container.bytes(*found.scales);
  tensor.scales.resize(static_cast<std::size_t>(rows * groups));
  for (std::int64_t r = 0; r < rows; ++r) {
    const std::int64_t row =
        found.place.expert * found.all_rows + found.place.first + r * found.place.stride;
    const auto codes = nibble_codes(blocks.subspan(static_cast<std::size_t>(row * cols / 2),
                                                   static_cast<std::size_t>(cols / 2)));
    tensor.codes.insert(tensor.codes.end(), codes.begin(), codes.end());
    const auto stored =
        scales.subspan(static_cast<std::size_t>(row * groups), static_cast<std::size_t>(groups));
    if (std::ranges::find(stored, std::byte{255}) != stored.end()) {
      const LinearTensors tensors(container, found.place.experts, kName);
      return fail(tensors.wrong(*found.scales).expects("finite scales").got("255, which is NaN"));
    }
    decode_plain(DType::kF8E8M0, stored.data(), groups, tensor.scales.data() + r * groups);
  }
  return linear;
}

// Many more than there are in any model.
constexpr std::int64_t kMostExperts = 1 << 16;

}  // namespace

std::optional<std::vector<PackedLinear>> gpt_oss_linears(const TensorInfo& tensor) {
  const std::string_view name = tensor.name;
  const std::size_t last = name.rfind(".experts.");
  if (last == std::string_view::npos) return std::nullopt;
  std::string_view kind = name.substr(last + std::string_view(".experts.").size());
  const bool joined = kind.starts_with("gate_up_proj_");
  if (!joined && !kind.starts_with("down_proj_")) return std::nullopt;
  kind.remove_prefix(kind.rfind('_'));
  std::vector<PackedLinear> linears;
  if (kind == "_scales") return linears;
  const auto& shape = tensor.shape;
  if (kind != "_blocks" || shape.size() != 4 || shape[3] != kGroupBytes) return std::nullopt;
  if (shape[0] > kMostExperts || shape[1] < 1 || shape[2] < 1) return std::nullopt;
  const std::int64_t rows = joined ? shape[1] / 2 : shape[1];
  const std::string experts(name.substr(0, last + std::string_view(".experts.").size()));
  for (std::int64_t expert = 0; expert < shape[0]; ++expert) {
    for (const char* part : {"gate_proj", "up_proj", "down_proj"}) {
      const bool is_down = std::string_view(part) == "down_proj";
      if (is_down == joined) continue;
      linears.push_back({.module = experts + std::to_string(expert) + "." + part,
                         .rows = rows,
                         .cols = shape[2] * kGroup});
    }
  }
  return linears;
}

constinit const Dialect kGptOssMxfp4 = {.name = kName,
                                        .recognises = recognises,
                                        .read_map = read_map,
                                        .verify = verify,
                                        .unpack = unpack,
                                        .writer = nullptr};

}  // namespace quantlane
