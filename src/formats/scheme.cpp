#include "formats/scheme.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

#include "core/check.h"

namespace quantlane {
namespace {

constexpr std::string_view kGrammar =
    "int<2..8>_{channel|tensor|g<size>}_{sym|asym}, {fp8_e4m3|fp4_e2m1}_{channel|tensor|g<size>|"
    "b<rows>x<cols>}, nf4_g<size>[_dq], nvfp4, mxfp4 or mxfp8";
constexpr std::string_view kActivationGrammar =
    "int8_token, int8_tensor, int8_token_asym, int8_tensor_asym, fp8_e4m3_token, fp8_e4m3_tensor, "
    "fp8_e4m3_g128, nvfp4, mxfp4 or mxfp8";

// Formats whose name fixes every field.
struct NamedScheme {
  std::string_view name;
  int bits;
  int group_size;
  DType scale_dtype;
  TensorScale tensor_scale;
};
constexpr std::array kNamed = {NamedScheme{"nvfp4", 4, 16, DType::kF8E4M3, TensorScale::kDivides},
                               NamedScheme{"mxfp4", 4, 32, DType::kF8E8M0, TensorScale::kNone},
                               NamedScheme{"mxfp8", 8, 32, DType::kF8E8M0, TensorScale::kNone}};

const NamedScheme* named(std::string_view name) {
  const auto* found = std::ranges::find(kNamed, name, &NamedScheme::name);
  return found == kNamed.end() ? nullptr : found;
}

std::vector<std::string_view> split(std::string_view text) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find('_');
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::unexpected<Error> refuse(std::string_view spelling, std::string_view found) {
  return fail(invalid("reading the scheme \"" + std::string(spelling) + "\"")
                  .expects(std::string(kGrammar))
                  .got(std::string(found)));
}

// A decimal number without sign, leading zeros or anything behind it; -1 otherwise.
int whole_number(std::string_view text) {
  int value = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  return whole && value > 0 && text.front() != '0' ? value : -1;
}

bool set_granularity(std::string_view word, Scheme& scheme) {
  if (const std::size_t by = word.find('x');
      word.starts_with('b') && by != std::string_view::npos) {
    scheme.granularity = Granularity::kBlock;
    scheme.block_rows = whole_number(word.substr(1, by - 1));
    scheme.group_size = whole_number(word.substr(by + 1));
    return scheme.block_rows > 0 && scheme.group_size > 0;
  }
  if (word == "tensor") {
    scheme.granularity = Granularity::kTensor;
  } else if (word == "channel") {
    scheme.granularity = Granularity::kChannel;
  } else if (word.starts_with('g')) {
    scheme.granularity = Granularity::kGroup;
    scheme.group_size = whole_number(word.substr(1));
    return scheme.group_size > 0;
  } else {
    return false;
  }
  return true;
}

}  // namespace

Result<Scheme> Scheme::parse(std::string_view spelling) {
  if (const NamedScheme* name = named(spelling)) {
    return Scheme{.type = ValueType::kFloat,
                  .bits = name->bits,
                  .group_size = name->group_size,
                  .scale_dtype = name->scale_dtype,
                  .tensor_scale = name->tensor_scale};
  }
  const std::vector<std::string_view> parts = split(spelling);
  const bool nested = parts.size() == 3 && parts[2] == "dq";
  if ((parts.size() == 2 || nested) && parts[0] == "nf4" && parts[1].starts_with('g')) {
    Scheme scheme{
        .type = ValueType::kNormalFloat, .scale_dtype = DType::kF32, .nested_scales = nested};
    if (!set_granularity(parts[1], scheme)) return refuse(spelling, parts[1]);
    return scheme;
  }
  if (parts.size() != 3) return refuse(spelling, "not three parts");
  Scheme scheme;
  std::string_view granularity = parts[1];
  if ((parts[0] == "fp8" && parts[1] == "e4m3") || (parts[0] == "fp4" && parts[1] == "e2m1")) {
    scheme.type = ValueType::kFloat;
    scheme.bits = parts[0] == "fp8" ? 8 : 4;
    granularity = parts[2];
  } else if (parts[0].starts_with("int") && !parts[1].starts_with('b')) {
    scheme.bits = whole_number(parts[0].substr(3));
    if (scheme.bits < 2 || scheme.bits > 8)
      return refuse(spelling, "width " + std::string(parts[0]));
    if (parts[2] != "sym" && parts[2] != "asym") return refuse(spelling, parts[2]);
    scheme.symmetric = parts[2] == "sym";
  } else {
    return refuse(spelling, parts[0]);
  }
  if (!set_granularity(granularity, scheme)) return refuse(spelling, granularity);
  return scheme;
}

std::string Scheme::spelling() const {
  for (const NamedScheme& name : kNamed) {
    if (type == ValueType::kFloat && granularity == Granularity::kGroup && bits == name.bits &&
        group_size == name.group_size && scale_dtype == name.scale_dtype &&
        (tensor_scale == TensorScale::kNone) == (name.tensor_scale == TensorScale::kNone)) {
      return std::string(name.name);
    }
  }
  std::string text = type == ValueType::kNormalFloat ? "nf" + std::to_string(bits)
                     : type == ValueType::kInt       ? "int" + std::to_string(bits)
                     : bits == 4                     ? "fp4_e2m1"
                                                     : "fp8_e4m3";
  switch (granularity) {
    case Granularity::kTensor:
      text += "_tensor";
      break;
    case Granularity::kChannel:
      text += "_channel";
      break;
    case Granularity::kGroup:
      text += "_g" + std::to_string(group_size);
      break;
    case Granularity::kToken:
      text += "_token";
      break;
    case Granularity::kBlock:
      text += "_b" + std::to_string(block_rows) + "x" + std::to_string(group_size);
      break;
  }
  if (type == ValueType::kInt) text += symmetric ? "_sym" : "_asym";
  if (nested_scales) text += "_dq";
  return text;
}

std::int64_t Scheme::groups_per_row(std::int64_t cols) const {
  if (granularity != Granularity::kGroup && granularity != Granularity::kBlock) return 1;
  QUANTLANE_CHECK(group_size > 0);
  return (cols + group_size - 1) / group_size;
}

std::int64_t Scheme::scale_count(std::int64_t rows, std::int64_t cols) const {
  if (granularity == Granularity::kTensor) return 1;
  QUANTLANE_CHECK(block_rows > 0);
  return (rows + block_rows - 1) / block_rows * groups_per_row(cols);
}

std::int64_t Scheme::first_scale(std::int64_t row, std::int64_t cols) const {
  return granularity == Granularity::kTensor ? 0 : row / block_rows * groups_per_row(cols);
}

double Scheme::bits_per_weight(std::int64_t cols) const {
  if (granularity == Granularity::kTensor || cols <= 0) return bits;
  const int zero_bits = symmetric || type != ValueType::kInt ? 0 : bits;
  const double scale_bits =
      nested_scales ? 8 + 32.0 / 256 : 8.0 * dtype_row(scale_dtype).size_bytes;
  const double group_bits = scale_bits + zero_bits;
  return bits + static_cast<double>(groups_per_row(cols)) * group_bits / static_cast<double>(cols) /
                    static_cast<double>(block_rows);
}

Result<ActivationScheme> ActivationScheme::parse(std::string_view spelling) {
  ActivationScheme scheme;
  if (const NamedScheme* name = named(spelling)) {
    scheme.type = ValueType::kFloat;
    scheme.bits = name->bits;
    scheme.granularity = Granularity::kGroup;
    scheme.group_size = name->group_size;
    scheme.scale_dtype = name->scale_dtype;
    scheme.tensor_scale = name->tensor_scale;
    return scheme;
  }
  std::string_view rest = spelling;
  if (rest.starts_with("fp8_e4m3_")) {
    scheme.type = ValueType::kFloat;
    rest.remove_prefix(9);
  } else if (rest.starts_with("int8_")) {
    rest.remove_prefix(5);
    scheme.symmetric = !rest.ends_with("_asym");
    if (!scheme.symmetric) rest.remove_suffix(5);
  }
  if (rest == "tensor" && rest.size() < spelling.size()) {
    scheme.granularity = Granularity::kTensor;
    scheme.dynamic = false;
    return scheme;
  }
  if (rest == "token" && rest.size() < spelling.size()) return scheme;
  if (scheme.type == ValueType::kFloat && rest.starts_with('g')) {
    scheme.granularity = Granularity::kGroup;
    scheme.group_size = whole_number(rest.substr(1));
    if (scheme.group_size > 0) return scheme;
  }
  return fail(invalid("reading the scheme of activations \"" + std::string(spelling) + "\"")
                  .expects(std::string(kActivationGrammar)));
}

std::string ActivationScheme::spelling() const {
  if (plain != DType::kF32) return plain == DType::kF16 ? "f16" : "bf16";
  for (const NamedScheme& name : kNamed) {
    if (type == ValueType::kFloat && granularity == Granularity::kGroup && bits == name.bits &&
        group_size == name.group_size && scale_dtype == name.scale_dtype) {
      return std::string(name.name);
    }
  }
  const std::string text = type == ValueType::kInt ? "int" + std::to_string(bits)
                           : bits == 4             ? "fp4_e2m1"
                                                   : "fp8_e4m3";
  const std::string zero = symmetric ? "" : "_asym";
  if (granularity == Granularity::kToken) return text + "_token" + zero;
  if (granularity == Granularity::kGroup) return text + "_g" + std::to_string(group_size);
  return text + (dynamic ? "_tensor_dynamic" : "_tensor") + zero;
}

}  // namespace quantlane
