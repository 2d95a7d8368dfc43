#include "formats/scheme.h"

#include <charconv>
#include <vector>

#include "core/check.h"

namespace quantlane {
namespace {

constexpr std::string_view kGrammar =
    "int<2..8>_{channel|tensor|g<size>}_{sym|asym} or fp8_e4m3_{channel|tensor|g<size>}";

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
  const std::vector<std::string_view> parts = split(spelling);
  if (parts.size() != 3) return refuse(spelling, "not three parts");
  Scheme scheme;
  std::string_view granularity = parts[1];
  if (parts[0] == "fp8" && parts[1] == "e4m3") {
    scheme.type = ValueType::kFloat;
    scheme.bits = 8;
    granularity = parts[2];
  } else if (parts[0].starts_with("int")) {
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
  std::string text = type == ValueType::kInt ? "int" + std::to_string(bits) : "fp8_e4m3";
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
  }
  if (type == ValueType::kInt) text += symmetric ? "_sym" : "_asym";
  return text;
}

std::int64_t Scheme::groups_per_row(std::int64_t cols) const {
  if (granularity != Granularity::kGroup) return 1;
  QUANTLANE_CHECK(group_size > 0);
  return (cols + group_size - 1) / group_size;
}

double Scheme::bits_per_weight(std::int64_t cols) const {
  if (granularity == Granularity::kTensor || cols <= 0) return bits;
  const int zero_bits = symmetric || type == ValueType::kFloat ? 0 : bits;
  const int group_bits = 8 * dtype_row(scale_dtype).size_bytes + zero_bits;
  return bits + static_cast<double>(groups_per_row(cols)) * group_bits / static_cast<double>(cols);
}

}  // namespace quantlane
