// The normalizer and pre_tokenizer members of tokenizer.json.
#include "core/check.h"
#include "model/tokenizer/pretokenizers.h"
#include "model/tokenizer/space_marker.h"
#include "model/tokenizer/tokenizer_json.h"

namespace quantlane {
namespace {

constexpr int kMaxNesting = 8;

std::unexpected<Error> unsupported_part(const std::string& origin, std::string part,
                                        std::string expected, const Json& found) {
  return fail(unsupported("reading a tokenizer")
                  .in(origin)
                  .of(std::move(part))
                  .expects(std::move(expected))
                  .got(found.dump().substr(0, 200)));
}

Result<void> read_normalizer(const Json& json, const std::string& origin, int depth,
                             TextPipeline& pipeline) {
  const std::string_view type = json["type"].string();
  if (json.is_null()) return {};
  if (type == "Sequence" && depth < kMaxNesting) {
    for (const Json& part : json["normalizers"].items()) {
      QUANTLANE_TRY_VOID(read_normalizer(part, origin, depth + 1, pipeline));
    }
    return {};
  }
  if (type == "NFC") {
    pipeline.nfc = true;
    return {};
  }
  if (type == "Prepend" && json["prepend"].string() == kSpaceMarker) {
    pipeline.space_prefix = true;
    return {};
  }
  if (type == "Replace" && json["pattern"]["String"].string() == " " &&
      json["content"].string() == kSpaceMarker) {
    pipeline.space_marker = true;
    return {};
  }
  return unsupported_part(origin, "normalizer",
                          "NFC, Prepend of U+2581, Replace of spaces by U+2581, or a Sequence",
                          json);
}

// A pattern that matches `text` itself.
std::string escape_pattern(std::string_view text) {
  std::string pattern;
  for (const char letter : text) {
    if (std::string_view("\\^$.|?*+()[]{}").find(letter) != std::string_view::npos) pattern += '\\';
    pattern += letter;
  }
  return pattern;
}

Result<void> read_split(const Json& json, const std::string& origin, TextPipeline& pipeline) {
  const std::string_view behavior = json["behavior"].string();
  const Json& pattern = json["pattern"];
  const bool inverted = json["invert"].boolean();
  // Once spaces are U+2581, cutting at them does nothing (Gemma).
  if (pipeline.space_marker && pattern["String"].string() == " ") return {};
  // Keeping only the matches is isolating them where the pattern matches everything, as those do.
  const bool isolates =
      (behavior == "Isolated" && !inverted) || (behavior == "Removed" && inverted);
  if (isolates && pattern["Regex"].is_string()) {
    pipeline.patterns.emplace_back(pattern["Regex"].string());
    return {};
  }
  if (isolates && !pattern["String"].string().empty()) {
    pipeline.patterns.push_back(escape_pattern(pattern["String"].string()));
    return {};
  }
  return unsupported_part(origin, "pre_tokenizer", "a Split that isolates its matches", json);
}

void read_metaspace(const Json& json, TextPipeline& pipeline) {
  pipeline.space_marker = true;
  const std::string_view scheme = json["prepend_scheme"].string("always");
  pipeline.space_prefix = scheme != "never" && json["add_prefix_space"].boolean(true);
  pipeline.prefix_first_only = scheme == "first";
  pipeline.prefix_unless_space = true;
  pipeline.cuts_at_spaces = json["split"].boolean(true);
}

Result<void> read_pre_tokenizer(const Json& json, const std::string& origin, int depth,
                                TextPipeline& pipeline) {
  if (json.is_null()) return {};
  const std::string_view type = json["type"].string();
  const auto add = [&pipeline](std::string_view pattern) -> Result<void> {
    pipeline.patterns.emplace_back(pattern);
    return {};
  };
  if (type == "Sequence" && depth < kMaxNesting) {
    for (const Json& part : json["pretokenizers"].items()) {
      QUANTLANE_TRY_VOID(read_pre_tokenizer(part, origin, depth + 1, pipeline));
    }
    return {};
  }
  if (type == "ByteLevel") {
    pipeline.byte_level = true;
    pipeline.space_prefix = pipeline.prefix_unless_space = json["add_prefix_space"].boolean(true);
    if (json["use_regex"].boolean(true)) return add(kByteLevelPattern);
    return {};
  }
  if (type == "Digits") {
    return add(json["individual_digits"].boolean() ? kDigitPattern : kDigitsPattern);
  }
  if (type == "Punctuation") {
    const std::string_view behavior = json["behavior"].string("Isolated");
    if (behavior == "Isolated") return add(kPunctuationPattern);
    if (behavior == "Contiguous") return add(kPunctuationsPattern);
  }
  if (type == "Split") return read_split(json, origin, pipeline);
  if (type == "Metaspace" && json["replacement"].string(kSpaceMarker) == kSpaceMarker) {
    read_metaspace(json, pipeline);
    return {};
  }
  return unsupported_part(
      origin, "pre_tokenizer",
      "ByteLevel, Digits, Punctuation, Split, Metaspace with U+2581, or a Sequence", json);
}

}  // namespace

Result<TextPipeline> parse_text_pipeline(const Json& normalizer, const Json& pre_tokenizer,
                                         const std::string& origin) {
  TextPipeline pipeline;
  QUANTLANE_TRY_VOID(read_normalizer(normalizer, origin, 0, pipeline));
  QUANTLANE_TRY_VOID(read_pre_tokenizer(pre_tokenizer, origin, 0, pipeline));
  return pipeline;
}

}  // namespace quantlane
