#include "model/tokenizer/tokenizer_writer.h"

#include <algorithm>

#include "core/check.h"
#include "core/file.h"
#include "core/json.h"
#include "model/tokenizer/pretokenizers.h"
#include "model/tokenizer/sentencepiece_model.h"
#include "model/tokenizer/space_marker.h"

namespace quantlane {
namespace {

bool is_added(TokenKind kind) {
  return kind == TokenKind::kControl || kind == TokenKind::kUserDefined ||
         kind == TokenKind::kUnknown;
}

const std::string& token_text(const TokenizerSpec& spec, std::int64_t id) {
  return spec.tokens[static_cast<std::size_t>(id)];
}

Json sequence(std::string_view member, Json::Array parts) {
  if (parts.empty()) return {};
  if (parts.size() == 1) return std::move(parts.front());
  return Json::object({{"type", "Sequence"}, {std::string(member), std::move(parts)}});
}

Json replace(std::string_view from, std::string_view to) {
  return Json::object(
      {{"type", "Replace"}, {"pattern", Json::object({{"String", from}})}, {"content", to}});
}

Json byte_level(bool add_prefix_space, bool use_regex) {
  return Json::object({{"type", "ByteLevel"},
                       {"add_prefix_space", add_prefix_space},
                       {"trim_offsets", false},
                       {"use_regex", use_regex}});
}

// The cuts as built-in pre-tokenizers where one does the same, so that the name is recognised
// again.
Json byte_level_cuts(const TokenizerSpec& spec) {
  std::vector<std::string_view> patterns(spec.split_patterns.begin(), spec.split_patterns.end());
  if (const PreTokenizerRow* row = find_pre_tokenizer(spec.pre_tokenizer)) patterns = row->patterns;
  Json::Array parts;
  bool use_regex = false;
  for (std::size_t i = 0; i < patterns.size(); ++i) {
    if (i + 1 == patterns.size() && patterns[i] == kByteLevelPattern) {
      use_regex = true;
    } else if (patterns[i] == kDigitPattern || patterns[i] == kDigitsPattern) {
      parts.push_back(
          Json::object({{"type", "Digits"}, {"individual_digits", patterns[i] == kDigitPattern}}));
    } else {
      parts.push_back(Json::object({{"type", "Split"},
                                    {"pattern", Json::object({{"Regex", patterns[i]}})},
                                    {"behavior", "Isolated"},
                                    {"invert", false}}));
    }
  }
  parts.push_back(byte_level(spec.add_space_prefix, use_regex));
  return sequence("pretokenizers", std::move(parts));
}

// Metaspace marks the spaces where a normalizer could not say all of it.
bool uses_metaspace(const TokenizerSpec& spec) {
  return spec.model == "llama" && (spec.prefix_unless_space || spec.cuts_at_spaces);
}

Json normalizer(const TokenizerSpec& spec) {
  if (spec.model == "gpt2") return spec.nfc ? Json::object({{"type", "NFC"}}) : Json();
  if (uses_metaspace(spec)) return {};
  Json::Array parts;
  if (spec.add_space_prefix) {
    parts.push_back(Json::object({{"type", "Prepend"}, {"prepend", kSpaceMarker}}));
  }
  parts.push_back(replace(" ", kSpaceMarker));
  return sequence("normalizers", std::move(parts));
}

Json pre_tokenizer(const TokenizerSpec& spec) {
  if (spec.model == "gpt2") return byte_level_cuts(spec);
  if (!uses_metaspace(spec)) return {};
  return Json::object({{"type", "Metaspace"},
                       {"replacement", kSpaceMarker},
                       {"prepend_scheme", !spec.add_space_prefix   ? "never"
                                          : spec.prefix_first_only ? "first"
                                                                   : "always"},
                       {"split", spec.cuts_at_spaces}});
}

Json decoder(const TokenizerSpec& spec) {
  if (spec.model == "gpt2") return byte_level(spec.add_space_prefix, true);
  Json::Array parts{replace(kSpaceMarker, " "), Json::object({{"type", "ByteFallback"}}),
                    Json::object({{"type", "Fuse"}})};
  if (spec.add_space_prefix) {
    parts.push_back(Json::object({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}}));
  }
  return sequence("decoders", std::move(parts));
}

// Begin and end tokens around a text.
Json post_processor(const TokenizerSpec& spec) {
  const bool begin = spec.add_bos && spec.bos_id >= 0, end = spec.add_eos && spec.eos_id >= 0;
  if (!begin && !end) return {};
  Json::Array single, pair;
  Json::Object tokens;
  const auto special = [&](std::int64_t id) {
    const std::string& token = token_text(spec, id);
    const Json entry =
        Json::object({{"id", token}, {"ids", Json::Array{id}}, {"tokens", Json::Array{token}}});
    if (tokens.empty() || tokens.front().first != token) tokens.emplace_back(token, entry);
    return Json::object({{"SpecialToken", Json::object({{"id", token}, {"type_id", 0}})}});
  };
  const auto sentence = [](std::string_view id) {
    return Json::object({{"Sequence", Json::object({{"id", id}, {"type_id", 0}})}});
  };
  for (const std::string_view id : {"A", "B"}) {
    if (begin) pair.push_back(special(spec.bos_id));
    pair.push_back(sentence(id));
    if (end) pair.push_back(special(spec.eos_id));
    if (id == "A") single = pair;
  }
  return Json::object({{"type", "TemplateProcessing"},
                       {"single", std::move(single)},
                       {"pair", std::move(pair)},
                       {"special_tokens", std::move(tokens)}});
}

// Spaces of user-defined tokens of "llama" are U+2581 in files.
std::string stored(const TokenizerSpec& spec, std::size_t id) {
  const std::string& token = spec.tokens[id];
  if (spec.model != "llama" || spec.kinds[id] != TokenKind::kUserDefined) return token;
  return with_markers(token);
}

Json added_token(const TokenizerSpec& spec, std::size_t id) {
  const auto listed = [id](const std::vector<std::int32_t>& ids) {
    return std::ranges::find(ids, static_cast<std::int32_t>(id)) != ids.end();
  };
  return Json::object({{"id", static_cast<std::int64_t>(id)},
                       {"content", stored(spec, id)},
                       {"single_word", false},
                       {"lstrip", listed(spec.strip_left)},
                       {"rstrip", listed(spec.strip_right)},
                       {"normalized", false},
                       {"special", spec.kinds[id] != TokenKind::kUserDefined}});
}

Json tokenizer_json(const TokenizerSpec& spec) {
  Json::Array added, merges;
  Json::Object vocabulary;
  bool has_bytes = false;
  for (std::size_t id = 0; id < spec.tokens.size(); ++id) {
    if (spec.kinds[id] == TokenKind::kUnused || spec.tokens[id].empty()) continue;
    if (is_added(spec.kinds[id])) added.push_back(added_token(spec, id));
    has_bytes = has_bytes || spec.kinds[id] == TokenKind::kByte;
    vocabulary.emplace_back(stored(spec, id), static_cast<std::int64_t>(id));
  }
  merges.reserve(spec.merges.size());
  for (const std::string_view merge : spec.merges) {
    const std::size_t space = std::min(merge.find(' ', 1), merge.size());
    merges.push_back(
        Json::Array{merge.substr(0, space), merge.substr(std::min(space + 1, merge.size()))});
  }
  const bool has_unknown = spec.model == "llama" && spec.unknown_id >= 0;
  return Json::object(
      {{"version", "1.0"},
       {"truncation", Json()},
       {"padding", Json()},
       {"added_tokens", std::move(added)},
       {"normalizer", normalizer(spec)},
       {"pre_tokenizer", pre_tokenizer(spec)},
       {"post_processor", post_processor(spec)},
       {"decoder", decoder(spec)},
       {"model",
        Json::object({{"type", "BPE"},
                      {"dropout", Json()},
                      {"unk_token", has_unknown ? Json(token_text(spec, spec.unknown_id)) : Json()},
                      {"continuing_subword_prefix", Json()},
                      {"end_of_word_suffix", Json()},
                      {"fuse_unk", spec.model == "llama"},
                      {"byte_fallback", has_bytes},
                      {"ignore_merges", spec.ignore_merges},
                      {"vocab", std::move(vocabulary)},
                      {"merges", std::move(merges)}})}});
}

Json tokenizer_config(const TokenizerSpec& spec, bool has_json) {
  Json config =
      Json::object({{"tokenizer_class", has_json ? "PreTrainedTokenizerFast" : "LlamaTokenizer"},
                    {"clean_up_tokenization_spaces", false},
                    {"add_bos_token", spec.add_bos},
                    {"add_eos_token", spec.add_eos}});
  if (!has_json) {
    config.set("add_prefix_space", spec.add_space_prefix);
    config.set("legacy", true);
  }
  const auto name = [&](const char* key, std::int64_t id) {
    config.set(key, id < 0 ? Json() : Json(token_text(spec, id)));
  };
  name("bos_token", spec.bos_id);
  name("eos_token", spec.eos_id);
  name("unk_token", spec.unknown_id);
  name("pad_token", spec.padding_id);
  if (!spec.chat_template.empty()) config.set("chat_template", spec.chat_template);
  return config;
}

}  // namespace

Result<void> write_tokenizer_folder(const TokenizerSpec& spec, std::int64_t context_length,
                                    const fs::path& folder) {
  const bool byte_level_model = spec.model == "gpt2";
  const auto refuse = [&folder](std::string of, std::string expected, std::string found) {
    return fail(unsupported("writing a tokenizer")
                    .in(folder.string())
                    .of(std::move(of))
                    .expects(std::move(expected))
                    .got(std::move(found)));
  };
  if (!byte_level_model && spec.model != "llama") {
    return refuse("tokenizer model", "gpt2 or llama", spec.model);
  }
  if (byte_level_model && !spec.pre_tokenizer.empty() &&
      find_pre_tokenizer(spec.pre_tokenizer) == nullptr) {
    return refuse("pre-tokenizer", "one of " + pre_tokenizer_names(), spec.pre_tokenizer);
  }
  const bool has_json = byte_level_model || !spec.merges.empty();
  if (has_json) {
    QUANTLANE_TRY_VOID(write_text(folder / "tokenizer.json", tokenizer_json(spec).dump() + "\n"));
  } else {
    QUANTLANE_TRY_VOID(write_text(folder / "tokenizer.model", sentencepiece_model_bytes(spec)));
  }
  Json config = tokenizer_config(spec, has_json);
  if (context_length > 0) config.set("model_max_length", context_length);
  return write_text(folder / "tokenizer_config.json", config.dump(2) + "\n");
}

}  // namespace quantlane
