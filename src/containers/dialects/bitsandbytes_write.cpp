// The writing half of bitsandbytes, and its map of scales.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "containers/dialects/bitsandbytes_parts.h"
#include "containers/dialects/packed_parts.h"
#include "core/check.h"
#include "formats/code_tables.h"

namespace quantlane::bitsandbytes {
namespace {

// Room for any offset: readers ignore blanks at the end of the JSON.
constexpr std::size_t kNestedState = 192;

std::array<float, 256> make_dynamic_map() {
  std::array<float, 256> map{};
  std::size_t at = 0;
  for (int decade = 0; decade < 7; ++decade) {
    const int steps = 1 << decade;
    const float step = 0.9F / static_cast<float>(steps);
    // The boundaries of torch.linspace(0.1, 1, steps + 1): counted from the nearer end, product and
    // sum rounded once.
    const auto boundary = [&](int i) {
      return i < (steps + 1) / 2 ? std::fma(step, static_cast<float>(i), 0.1F)
                                 : std::fma(-step, static_cast<float>(steps - i), 1.0F);
    };
    const auto power = static_cast<float>(std::pow(10.0, decade - 6));
    for (int i = 0; i < steps; ++i) {
      const float value = power * ((boundary(i) + boundary(i + 1)) / 2.0F);
      map[at++] = value;
      map[at++] = -value;
    }
  }
  map[at++] = 0;
  map[at++] = 1;
  QUANTLANE_CHECK(at == map.size());
  std::ranges::sort(map);
  return map;
}

std::string_view torch_name(DType dtype) {
  if (dtype == DType::kF32) return "float32";
  return dtype == DType::kF16 ? "float16" : "bfloat16";
}

void complete(LinearScheme& scheme, DType model_dtype) {
  scheme.weight.scale_dtype = DType::kF32;
  scheme.weight.rounding.value = model_dtype;
}

std::optional<std::string> cannot_hold(const LinearScheme& scheme, std::int64_t,
                                       std::int64_t cols) {
  const Scheme& w = scheme.weight;
  if (w.type != ValueType::kNormalFloat) return "it holds NF4 only";
  if (scheme.input) return "its inputs are not rounded";
  if (w.granularity != Granularity::kGroup || w.group_size != 64) {
    return "its groups have 64 values";
  }
  if (cols % 64 != 0) {
    return "groups of 64 do not divide " + std::to_string(cols) +
           " columns: they would reach across rows";
  }
  return std::nullopt;
}

std::int64_t row_multiple(const LinearScheme&) { return 1; }

std::string state_text(const Scheme& scheme, std::int64_t rows, std::int64_t cols, float offset) {
  std::string text =
      fmt::format(R"({{"quant_type": "nf4", "blocksize": 64, "dtype": "{}", "shape": [{}, {}])",
                  torch_name(scheme.rounding.value), rows, cols);
  if (!scheme.nested_scales) return text + "}";
  // The shortest text of the double that Python makes of the float.
  text +=
      fmt::format(R"(, "nested_blocksize": {}, "nested_dtype": "float32", "nested_offset": {}}})",
                  kNestedBlock, static_cast<double>(offset));
  text.resize(std::max(text.size(), kNestedState), ' ');
  return text;
}

std::vector<PlannedPart> plan(std::string_view module, const LinearScheme& scheme,
                              std::int64_t rows, std::int64_t cols) {
  const Scheme& w = scheme.weight;
  const std::int64_t groups = rows * cols / 64;
  std::vector<PlannedPart> parts;
  const auto add = [&](std::string_view suffix, DType type, std::vector<std::int64_t> shape,
                       SliceAxis axis) {
    parts.push_back(planned_part(module, suffix, type, std::move(shape), axis));
  };
  add("weight", DType::kU8, {rows * cols / 2, 1}, SliceAxis::kRows);
  add("weight.absmax", w.nested_scales ? DType::kU8 : DType::kF32, {groups}, SliceAxis::kRows);
  add("weight.quant_map", DType::kF32, {16}, SliceAxis::kWhole);
  if (w.nested_scales) {
    add("weight.nested_absmax", DType::kF32, {(groups + kNestedBlock - 1) / kNestedBlock},
        SliceAxis::kWhole);
    add("weight.nested_quant_map", DType::kF32, {256}, SliceAxis::kWhole);
  }
  const auto state = static_cast<std::int64_t>(state_text(w, rows, cols, 0).size());
  add(kState, DType::kU8, {state}, SliceAxis::kWhole);
  return parts;
}

// Scales stay F32 here: finish() sees all of them.
std::vector<std::vector<std::byte>> pack(const LinearScheme& scheme, const QuantTensor& slice,
                                         std::int64_t total_rows) {
  std::vector<std::vector<std::byte>> parts;
  std::vector<std::byte> codes(slice.codes.size() / 2);
  for (std::size_t i = 0; i < codes.size(); ++i) {
    codes[i] = static_cast<std::byte>(slice.codes[2 * i] << 4 | slice.codes[2 * i + 1]);
  }
  parts.push_back(std::move(codes));
  parts.push_back(float_part(DType::kF32, slice.scales));
  parts.push_back(float_part(DType::kF32, kNf4Values));
  if (scheme.weight.nested_scales) {
    parts.emplace_back();
    parts.push_back(float_part(DType::kF32, dynamic_map()));
  }
  const std::string state = state_text(scheme.weight, total_rows, slice.cols, 0);
  parts.push_back(raw_part(state.data(), state.size()));
  return parts;
}

// The code of the nearest value, the lower one of two that are as near. bitsandbytes takes the
// other neighbour of 2 values in 1000, close to the middle: 45 of the 18432 scales of its own test
// file.
std::uint8_t nearest(float value) {
  const auto& map = dynamic_map();
  const auto above = std::ranges::lower_bound(map, value);
  if (above == map.begin()) return 0;
  if (above == map.end()) return 255;
  const auto below = above - 1;
  const auto best = value - *below <= *above - value ? below : above;
  return static_cast<std::uint8_t>(best - map.begin());
}

void finish(const LinearScheme& scheme, std::int64_t rows, std::int64_t cols,
            std::vector<std::vector<std::byte>>& parts) {
  if (!scheme.weight.nested_scales) return;
  std::vector<std::byte>& absmax = parts[1];
  std::vector<float> scales(absmax.size() / 4);
  std::memcpy(scales.data(), absmax.data(), absmax.size());
  double sum = 0;
  for (const float scale : scales) sum += static_cast<double>(scale);
  const auto offset = static_cast<float>(sum / static_cast<double>(scales.size()));
  std::vector<float> largest;
  absmax.resize(scales.size());
  for (std::size_t first = 0; first < scales.size(); first += kNestedBlock) {
    const std::size_t end = std::min(scales.size(), first + std::size_t{kNestedBlock});
    float most = 0;
    for (std::size_t i = first; i < end; ++i) most = std::max(most, std::abs(scales[i] - offset));
    for (std::size_t i = first; i < end; ++i) {
      absmax[i] = static_cast<std::byte>(nearest(most > 0 ? (scales[i] - offset) / most : 0));
    }
    largest.push_back(most);
  }
  parts[3] = float_part(DType::kF32, largest);
  const std::string state = state_text(scheme.weight, rows, cols, offset);
  parts[5] = raw_part(state.data(), state.size());
}

Json write_config(const LinearScheme& scheme, std::span<const std::string> ignore) {
  Json skipped = Json::array();
  for (const std::string& module : ignore) skipped.push(module);
  return Json::object({{"quant_method", kName},
                       {"load_in_4bit", true},
                       {"load_in_8bit", false},
                       {"_load_in_4bit", true},
                       {"_load_in_8bit", false},
                       {"bnb_4bit_compute_dtype", torch_name(scheme.weight.rounding.value)},
                       {"bnb_4bit_quant_storage", "uint8"},
                       {"bnb_4bit_quant_type", "nf4"},
                       {"bnb_4bit_use_double_quant", scheme.weight.nested_scales},
                       {"llm_int8_enable_fp32_cpu_offload", false},
                       {"llm_int8_has_fp16_weight", false},
                       {"llm_int8_skip_modules", std::move(skipped)},
                       {"llm_int8_threshold", 6.0}});
}

}  // namespace

const std::array<float, 256>& dynamic_map() {
  static const std::array<float, 256> map = make_dynamic_map();
  return map;
}

std::span<const float> nf4_map() { return kNf4Values; }

constinit const DialectWriter kWriter = {.complete = complete,
                                         .cannot_hold = cannot_hold,
                                         .row_multiple = row_multiple,
                                         .plan = plan,
                                         .pack = pack,
                                         .write_config = write_config,
                                         .finish = finish};

}  // namespace quantlane::bitsandbytes
