#include "quantize/lanes/lane_variants.h"

#include <algorithm>
#include <set>
#include <utility>

#include "core/check.h"
#include "formats/scheme.h"

namespace quantlane {
namespace {

constexpr std::string_view kBits = "{bits}";
constexpr std::string_view kChannel = "-channel";
constexpr std::string_view kGroup = "-g";
constexpr std::string_view kChosen = "group_chosen";  // of rows that are spelled out
constexpr std::string_view kStem = "stem";

std::vector<int> integers(const Json& array) {
  std::vector<int> values;
  for (const Json& value : array.items()) values.push_back(static_cast<int>(value.integer()));
  return values;
}

// What a row is called with these bits.
std::string spelled_stem(std::string_view spelled, std::string_view bits) {
  std::string stem(spelled);
  const std::size_t at = stem.find(kBits);
  if (at != std::string::npos) stem.replace(at, kBits.size(), bits);
  return stem;
}

// The width that `stem` gives `row`: 0 its own, nullopt: it names another one.
std::optional<int> bits_of_stem(const Json& row, std::string_view stem) {
  if (row["name"].string() == stem) return 0;
  for (const int bits : integers(row["variants"]["bits"])) {
    if (spelled_stem(row["variants"]["spelled"].string(), std::to_string(bits)) == stem)
      return bits;
  }
  return std::nullopt;
}

// How `suffix` ("", "-g64", "-channel") changes the scheme; false: the row has no such variant.
bool set_groups(const Json& row, std::string_view suffix, Scheme& scheme) {
  const Json& variants = row["variants"];
  if (suffix.empty()) return true;
  if (suffix == kChannel) {
    scheme.granularity = Granularity::kChannel;
    scheme.group_size = 0;
    return variants["channel"].boolean();
  }
  for (const int size : integers(variants["groups"])) {
    if (suffix != std::string(kGroup) + std::to_string(size)) continue;
    scheme.group_size = size;
    return true;
  }
  return false;
}

// "w4a16-g64" is "w4a16" and "-g64".
std::size_t end_of_stem(std::string_view name) {
  if (name.ends_with(kChannel)) return name.size() - kChannel.size();
  const std::size_t at = name.rfind(kGroup);
  if (at == std::string_view::npos || at + kGroup.size() == name.size()) return name.size();
  const bool number = std::ranges::all_of(name.substr(at + kGroup.size()),
                                          [](char c) { return c >= '0' && c <= '9'; });
  return number ? at : name.size();
}

std::string joined(const auto& values, std::string_view between) {
  std::string text;
  for (const auto& value : values)
    text += (text.empty() ? "" : std::string(between)) + std::to_string(value);
  return text;
}

Json spelled_row(const Json& row, std::string_view stem, std::string_view suffix,
                 const Scheme& scheme) {
  Json spelled = row;
  const std::string name = std::string(stem) + std::string(suffix);
  spelled.set("name", name);
  spelled.set("weights", scheme.spelling());
  spelled.set("summary", scheme.spelling() + " weights, stored as those of " +
                             std::string(row["name"].string()) + " are");
  spelled.set(std::string(kStem), stem);
  spelled.set(std::string(kChosen), suffix.starts_with(kGroup));
  return spelled;
}

}  // namespace

Result<std::optional<Json>> lane_row(const Json& rows, std::string_view name) {
  for (const Json& row : rows.items()) {
    if (row["name"].string() == name) return row;
  }
  const std::size_t end = end_of_stem(name);
  const std::string_view stem = name.substr(0, end);
  const std::string_view suffix = name.substr(end);
  for (const Json& row : rows.items()) {
    if (!row.contains("variants")) continue;
    const auto bits = bits_of_stem(row, stem);
    if (!bits) continue;
    QUANTLANE_TRY(Scheme scheme, Scheme::parse(row["weights"].string()));
    if (*bits != 0) scheme.bits = *bits;
    if (!set_groups(row, suffix, scheme)) continue;
    return spelled_row(row, stem, suffix, scheme);
  }
  return std::nullopt;
}

LaneGroups groups_of_row(const Json& row) {
  return {.stem = std::string(row[kStem].string(row["name"].string())),
          .sizes = integers(row["variants"]["groups"]),
          .channel = row["variants"]["channel"].boolean(),
          .chosen = row[kChosen].boolean()};
}

std::string near_variants(const Json& rows, std::string_view name) {
  const std::string stem(name.substr(0, end_of_stem(name)));
  for (const Json& row : rows.items()) {
    if (!row.contains("variants") || !bits_of_stem(row, stem)) continue;
    const LaneGroups groups = groups_of_row(row);
    std::string names;
    for (const int size : groups.sizes)
      names += (names.empty() ? "" : ", ") + stem + std::string(kGroup) + std::to_string(size);
    return groups.channel ? names + ", " + stem + std::string(kChannel) : names;
  }
  return "";
}

std::vector<std::string> variant_grammar(const Json& rows) {
  // Rows that differ in their widths alone are one line.
  std::vector<std::pair<std::string, std::set<int>>> lines;
  for (const Json& row : rows.items()) {
    const Json& variants = row["variants"];
    if (variants.is_null()) continue;
    std::string line(variants["spelled"].string(row["name"].string()));
    line += "[-g<" + joined(integers(variants["groups"]), "|") + ">";
    line += variants["channel"].boolean() ? "|" + std::string(kChannel) + "]" : "]";
    auto known = std::ranges::find(lines, line, &std::pair<std::string, std::set<int>>::first);
    if (known == lines.end()) known = lines.insert(lines.end(), {line, {}});
    for (const int bits : integers(variants["bits"])) known->second.insert(bits);
  }
  std::vector<std::string> grammar;
  for (const auto& [line, bits] : lines)
    grammar.push_back(spelled_stem(line, "<" + joined(bits, "|") + ">"));
  return grammar;
}

}  // namespace quantlane
