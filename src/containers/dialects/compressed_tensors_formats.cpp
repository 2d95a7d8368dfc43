#include "containers/dialects/compressed_tensors_formats.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <vector>

#include "core/check.h"

namespace quantlane::compressed_tensors {
namespace {

constexpr std::string_view kPackedSuffix = ".weight_packed";
constexpr std::string_view kSuffix = ".weight";

// What a format holds (0 bits: any), and of which type its codes are; packed ones are called
// weight_packed, others weight.
struct Format {
  std::string_view name;
  std::optional<ValueType> type;
  int bits;
  std::optional<DType> codes;  // nullopt: either of one byte
  bool packed;
  bool exponents;  // scales of FP4 and FP8 are E8M0
};
constexpr std::array kFormats = {
    Format{"float-quantized", ValueType::kFloat, 8, DType::kF8E4M3, false, false},
    Format{"int-quantized", ValueType::kInt, 0, DType::kI8, false, false},
    Format{"naive-quantized", std::nullopt, 0, std::nullopt, false, false},
    Format{"pack-quantized", ValueType::kInt, 0, DType::kI32, true, false},
    Format{"nvfp4-pack-quantized", ValueType::kFloat, 4, DType::kU8, true, false},
    Format{"mxfp4-pack-quantized", ValueType::kFloat, 4, DType::kU8, true, true},
    Format{"mxfp8-quantized", ValueType::kFloat, 8, DType::kF8E4M3, false, true}};

std::vector<std::string_view> names() {
  std::vector<std::string_view> list;
  for (const Format& format : kFormats) list.push_back(format.name);
  return list;
}

bool is_packed(const TensorInfo& tensor) { return tensor.name.ends_with(kPackedSuffix); }

}  // namespace

Result<std::string_view> read_format(const JsonMembers& config) {
  std::vector<std::string_view> known = names();
  known.insert(known.end(), {kMixed, kDense});
  return config.word("format", "", known);
}

Result<std::string_view> read_group_format(const JsonMembers& group, std::string_view common) {
  QUANTLANE_TRY(const auto name, group.word("format", common, names()));
  if (name != kMixed && name != kDense) return name;
  return fail(group.wrong("format")
                  .expects("the format of this group, as \"format\": \"" + std::string(name) +
                           "\" for all asks for")
                  .advise("name the format in every group, or one for all of them"));
}

Result<void> check_format(const JsonMembers& config, const JsonMembers& group,
                          std::string_view name, const Scheme& weight) {
  const auto* row = std::ranges::find(kFormats, name, &Format::name);
  if (row == kFormats.end() || !row->type) return {};
  const bool exponents = weight.scale_dtype == DType::kF8E8M0;
  const bool numbers = *row->type == weight.type && (row->bits == 0 || row->bits == weight.bits);
  if (numbers && row->exponents == exponents) return {};
  const JsonMembers& owner = group.has("format") ? group : config;
  return fail(owner.wrong("format")
                  .expects("the layout of " + weight.spelling() + ", which \"weights\" says")
                  .advise("correct \"format\", or \"type\" and \"num_bits\" of the weights"));
}

std::string_view module_with_codes(const TensorInfo& tensor) {
  const std::string_view name = tensor.name;
  if (tensor.type.block != nullptr) return {};
  if (is_packed(tensor)) return name.substr(0, name.size() - kPackedSuffix.size());
  const bool codes = tensor.type.plain == DType::kI8 || tensor.type.plain == DType::kF8E4M3;
  return codes && name.ends_with(kSuffix) ? name.substr(0, name.size() - kSuffix.size())
                                          : std::string_view();
}

bool format_holds(std::string_view format, const TensorInfo& tensor) {
  const auto* row = std::ranges::find(kFormats, format, &Format::name);
  if (row == kFormats.end()) return true;
  return row->packed == is_packed(tensor) && (!row->codes || *row->codes == tensor.type.plain);
}

std::string_view format_named_for(const TensorInfo& tensor, const Scheme& weight) {
  const bool exponents = weight.scale_dtype == DType::kF8E8M0;
  if (tensor.type.plain == DType::kI32) return "pack-quantized";
  if (is_packed(tensor) && tensor.type.plain != DType::kU8) return {};
  if (is_packed(tensor)) return exponents ? "mxfp4-pack-quantized" : "nvfp4-pack-quantized";
  if (tensor.type.plain == DType::kI8) return "int-quantized";
  return exponents ? "mxfp8-quantized" : "float-quantized";
}

}  // namespace quantlane::compressed_tensors
