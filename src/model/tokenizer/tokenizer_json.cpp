#include "model/tokenizer/tokenizer_json.h"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>

#include "core/check.h"
#include "model/tokenizer/pretokenizers.h"
#include "model/tokenizer/space_marker.h"

namespace quantlane {
namespace {

std::unexpected<Error> corrupt_entry(const std::string& origin, std::string entry,
                                     std::string expected, std::string found) {
  return fail(corrupt("reading a tokenizer")
                  .in(origin)
                  .of(std::move(entry))
                  .expects(std::move(expected))
                  .got(std::move(found)));
}

// Everything that parse_tokenizer_json fills, with what it needs on the way.
class Reader {
 public:
  Reader(const Json& document, const std::string& origin) : json_(document), origin_(origin) {}
  Result<TokenizerSpec> read();

 private:
  Result<void> check_model() const;
  Result<void> read_vocabulary();
  Result<void> place(std::string_view content, const Json& id, const std::string& entry,
                     TokenKind kind);
  Result<void> read_added_tokens();
  Result<void> read_merges();
  Result<void> read_pipeline();
  Result<void> read_unknown();
  void read_post_processor(const Json& processor, int depth);
  void fill_holes();

  const Json& json_;
  const std::string& origin_;
  TokenizerSpec spec_;
  std::size_t id_limit_ = 0;
};

Result<void> Reader::check_model() const {
  const Json& model = json_["model"];
  if (!model.is_object()) return corrupt_entry(origin_, "model", "an object", model.dump());
  const std::string_view type = model["type"].string("BPE");
  const bool affixes = !model["continuing_subword_prefix"].string().empty() ||
                       !model["end_of_word_suffix"].string().empty();
  if (type == "BPE" && !affixes) return {};
  return fail(unsupported("reading a tokenizer")
                  .in(origin_)
                  .of("model.type")
                  .expects("BPE without word affixes")
                  .got(affixes ? "BPE with word affixes" : std::string(type)));
}

// Puts `content` at `id`; a token that is there already must be the same.
Result<void> Reader::place(std::string_view content, const Json& id, const std::string& entry,
                           TokenKind kind) {
  const std::int64_t value = id.integer(-1);
  if (!id.is_integer() || value < 0 || static_cast<std::size_t>(value) >= id_limit_) {
    return corrupt_entry(origin_, entry, fmt::format("an id below {}", id_limit_), id.dump());
  }
  const auto index = static_cast<std::size_t>(value);
  if (index >= spec_.tokens.size()) {
    spec_.tokens.resize(index + 1);
    spec_.kinds.resize(index + 1, TokenKind::kUnused);
  }
  if (spec_.kinds[index] != TokenKind::kUnused && spec_.tokens[index] != content) {
    return corrupt_entry(
        origin_, entry, "every id once",
        fmt::format("id {}, which \"{}\" has already", value, spec_.tokens[index]));
  }
  spec_.tokens[index] = content;
  spec_.kinds[index] = kind;
  return {};
}

Result<void> Reader::read_vocabulary() {
  const Json& vocabulary = json_["model"]["vocab"];
  if (!vocabulary.is_object() || vocabulary.members().empty()) {
    return corrupt_entry(origin_, "model.vocab", "an object of tokens and their ids", "none");
  }
  // Real vocabularies have few holes; more than this is an error or an attack on memory.
  id_limit_ =
      2 * (vocabulary.members().size() + json_["added_tokens"].items().size()) + (1U << 16U);
  for (const auto& [content, id] : vocabulary.members()) {
    QUANTLANE_TRY_VOID(
        place(content, id, fmt::format("model.vocab \"{}\"", content), TokenKind::kNormal));
  }
  return {};
}

Result<void> Reader::read_added_tokens() {
  const Json& added = json_["added_tokens"];
  if (!added.is_null() && !added.is_array()) {
    return corrupt_entry(origin_, "added_tokens", "an array", added.dump().substr(0, 80));
  }
  for (std::size_t index = 0; index < added.items().size(); ++index) {
    const Json& token = added.items()[index];
    const std::string entry = fmt::format("added_tokens[{}]", index);
    const std::string content(token["content"].string());
    if (content.empty()) {
      return corrupt_entry(origin_, entry, "content, a string", token["content"].dump());
    }
    const bool control = token["special"].boolean() || looks_like_control(content);
    QUANTLANE_TRY_VOID(place(content, token["id"], entry,
                             control ? TokenKind::kControl : TokenKind::kUserDefined));
    const auto id = static_cast<std::int32_t>(token["id"].integer());
    if (token["lstrip"].boolean()) spec_.strip_left.push_back(id);
    if (token["rstrip"].boolean()) spec_.strip_right.push_back(id);
  }
  return {};
}

Result<void> Reader::read_merges() {
  const Json& merges = json_["model"]["merges"];
  if (!merges.is_array()) return corrupt_entry(origin_, "model.merges", "an array", merges.dump());
  spec_.merges.reserve(merges.items().size());
  for (const Json& merge : merges.items()) {
    const auto& pair = merge.items();
    if (merge.is_string()) {
      spec_.merges.emplace_back(merge.string());
    } else if (pair.size() == 2 && pair[0].is_string() && pair[1].is_string() &&
               pair[0].string().find(' ') == std::string_view::npos &&
               pair[1].string().find(' ') == std::string_view::npos) {
      spec_.merges.push_back(fmt::format("{} {}", pair[0].string(), pair[1].string()));
    } else {
      return corrupt_entry(origin_, fmt::format("model.merges[{}]", spec_.merges.size()),
                           "\"left right\" or [\"left\", \"right\"], parts without spaces",
                           merge.dump().substr(0, 80));
    }
  }
  return {};
}

Result<void> Reader::read_pipeline() {
  QUANTLANE_TRY(const TextPipeline pipeline,
                parse_text_pipeline(json_["normalizer"], json_["pre_tokenizer"], origin_));
  const Json& model = json_["model"];
  spec_.nfc = pipeline.nfc;
  spec_.add_space_prefix = pipeline.space_prefix;
  spec_.prefix_unless_space = pipeline.space_prefix && pipeline.prefix_unless_space;
  spec_.prefix_first_only = pipeline.space_prefix && pipeline.prefix_first_only;
  spec_.ignore_merges = model["ignore_merges"].boolean();
  if (pipeline.byte_level && !pipeline.space_marker) {
    spec_.model = "gpt2";
    if (const auto* row =
            recognise_pre_tokenizer(pipeline.patterns, spec_.ignore_merges, spec_.nfc)) {
      spec_.pre_tokenizer = row->name;
    } else {
      spec_.split_patterns = pipeline.patterns;
    }
    return {};
  }
  if (pipeline.space_marker && !pipeline.byte_level && pipeline.patterns.empty() && !spec_.nfc &&
      !spec_.ignore_merges) {
    spec_.model = "llama";
    spec_.cuts_at_spaces = pipeline.cuts_at_spaces;
    return {};
  }
  return fail(unsupported("reading a tokenizer")
                  .in(origin_)
                  .of("pre_tokenizer")
                  .expects("ByteLevel cuts, or spaces replaced by U+2581 and no cuts")
                  .got(json_["pre_tokenizer"].dump().substr(0, 200)));
}

Result<void> Reader::read_unknown() {
  const Json& unknown = json_["model"]["unk_token"];
  const bool byte_fallback = json_["model"]["byte_fallback"].boolean();
  for (std::size_t id = 0; id < spec_.tokens.size(); ++id) {
    std::string& token = spec_.tokens[id];
    TokenKind& kind = spec_.kinds[id];
    if (kind == TokenKind::kUnused) continue;
    if (unknown.is_string() && token == unknown.string()) {
      spec_.unknown_id = static_cast<std::int64_t>(id);
      if (spec_.model == "llama") kind = TokenKind::kUnknown;
    } else if (byte_fallback && spec_.model == "llama" && byte_token_value(token) >= 0) {
      kind = TokenKind::kByte;
    } else if (kind == TokenKind::kUserDefined && spec_.model == "llama") {
      // Such tokens are found in the text before spaces become U+2581.
      for (std::size_t at = 0; (at = token.find(kSpaceMarker, at)) != std::string::npos; ++at) {
        token.replace(at, kSpaceMarker.size(), 1, ' ');
      }
    }
  }
  if (unknown.is_string() && spec_.unknown_id < 0) {
    return corrupt_entry(origin_, "model.unk_token", "a token of the vocabulary", unknown.dump());
  }
  return {};
}

void Reader::read_post_processor(const Json& processor, int depth) {
  const std::string_view type = processor["type"].string();
  if (type == "Sequence" && depth < 8) {
    for (const Json& part : processor["processors"].items()) read_post_processor(part, depth + 1);
  }
  if (type != "TemplateProcessing" || processor["single"].items().empty()) return;
  const auto& single = processor["single"].items();
  const auto id_of = [this](const Json& piece) -> std::int64_t {
    const std::string_view name = piece["SpecialToken"]["id"].string();
    const auto found = std::ranges::find(spec_.tokens, name);
    return name.empty() || found == spec_.tokens.end() ? -1 : found - spec_.tokens.begin();
  };
  if (const std::int64_t id = id_of(single.front()); id >= 0) {
    spec_.add_bos = true;
    spec_.bos_id = id;
  }
  if (const std::int64_t id = id_of(single.back()); id >= 0 && single.size() > 1) {
    spec_.add_eos = true;
    spec_.eos_id = id;
  }
}

void Reader::fill_holes() {
  for (std::size_t id = 0; id < spec_.tokens.size(); ++id) {
    if (spec_.kinds[id] == TokenKind::kUnused) spec_.tokens[id] = fmt::format("[PAD{}]", id);
  }
}

Result<TokenizerSpec> Reader::read() {
  QUANTLANE_TRY_VOID(check_model());
  QUANTLANE_TRY_VOID(read_vocabulary());
  QUANTLANE_TRY_VOID(read_added_tokens());
  QUANTLANE_TRY_VOID(read_merges());
  QUANTLANE_TRY_VOID(read_pipeline());
  QUANTLANE_TRY_VOID(read_unknown());
  fill_holes();
  read_post_processor(json_["post_processor"], 0);
  return std::move(spec_);
}

}  // namespace

bool looks_like_control(std::string_view token) {
  const auto framed = [token](std::string_view open, std::string_view close) {
    return token.size() > open.size() + close.size() && token.starts_with(open) &&
           token.ends_with(close);
  };
  return token == "<pad>" || token == "<mask>" || token == "<2mass>" || token == "[@BOS@]" ||
         framed("<|", "|>") || framed("<｜", "｜>") || framed("<unused", ">");
}

int byte_token_value(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  int value = -1;
  const char* const end = token.data() + 5;
  const auto [stop, error] = std::from_chars(token.data() + 3, end, value, 16);
  return error == std::errc{} && stop == end && value >= 0 ? value : -1;
}

Result<TokenizerSpec> parse_tokenizer_json(const Json& document, const std::string& origin) {
  return Reader(document, origin).read();
}

}  // namespace quantlane
