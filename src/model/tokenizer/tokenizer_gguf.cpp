// tokenizer.ggml.* and tokenizer.chat_template (names and meanings: GGUF specification, llama.cpp).
#include <algorithm>
#include <limits>
#include <unordered_map>

#include <fmt/format.h>

#include "core/check.h"
#include "model/tokenizer/pretokenizers.h"
#include "model/tokenizer/special_tokens.h"
#include "model/tokenizer/tokenizer.h"

namespace quantlane {
namespace {

constexpr std::string_view kPrefix = "tokenizer.ggml.";

std::string key(std::string_view name) { return fmt::format("{}{}", kPrefix, name); }

std::unexpected<Error> bad(const std::string& origin, std::string_view name, std::string expected,
                           std::string found) {
  return fail(corrupt("reading the tokenizer of a GGUF file")
                  .in(origin)
                  .of(key(name))
                  .expects(std::move(expected))
                  .got(std::move(found)));
}

Result<void> read_id(const Metadata& metadata, const std::string& origin, std::string_view name,
                     const TokenizerSpec& spec, std::int64_t& id) {
  const std::string full = key(name);
  if (metadata.find(full) == nullptr) return {};
  const auto value = metadata.integer(full);
  const auto count = static_cast<std::int64_t>(spec.tokens.size());
  // All ones is how some writers say "none".
  if (value && *value == std::numeric_limits<std::uint32_t>::max()) return {};
  if (!value || *value < 0 || *value >= count) {
    return bad(origin, name, fmt::format("an id below {}, the number of tokens", count),
               value ? std::to_string(*value) : "no integer");
  }
  id = *value;
  return {};
}

Result<void> read_kinds(const Metadata& metadata, const std::string& origin, TokenizerSpec& spec) {
  spec.kinds.assign(spec.tokens.size(), TokenKind::kNormal);
  if (metadata.find(key("token_type")) == nullptr) return {};
  const auto kinds = metadata.integers(key("token_type"));
  if (!kinds || kinds->size() != spec.tokens.size()) {
    return bad(origin, "token_type",
               fmt::format("{} integers, one for each token", spec.tokens.size()),
               kinds ? std::to_string(kinds->size()) : "another type");
  }
  for (std::size_t id = 0; id < kinds->size(); ++id) {
    const std::int64_t kind = (*kinds)[id];
    if (kind < 0 || kind > 6) {
      return bad(origin, "token_type", "values from 0 (undefined) to 6 (byte)",
                 fmt::format("{} for token {}", kind, id));
    }
    if (kind > 0) spec.kinds[id] = static_cast<TokenKind>(kind);
  }
  return {};
}

Result<void> read_scores(const Metadata& metadata, const std::string& origin, TokenizerSpec& spec) {
  const std::vector<float>* scores = metadata.floats(key("scores"));
  if (scores == nullptr || scores->size() != spec.tokens.size()) {
    return bad(origin, "scores", fmt::format("{} float32, one for each token", spec.tokens.size()),
               scores == nullptr ? "none" : std::to_string(scores->size()));
  }
  spec.scores = *scores;
  return {};
}

// What llama.cpp assumes where a key is absent.
void set_defaults(TokenizerSpec& spec) {
  if (spec.model == "llama") {
    const auto count = static_cast<std::int64_t>(spec.tokens.size());
    spec.bos_id = count > 1 ? 1 : -1;
    spec.eos_id = count > 2 ? 2 : -1;
    spec.unknown_id = 0;
    spec.add_bos = spec.add_space_prefix = true;
  } else if (const PreTokenizerRow* row = find_pre_tokenizer(spec.pre_tokenizer)) {
    spec.add_bos = row->add_bos;
    spec.ignore_merges = row->ignore_merges;
    spec.nfc = row->nfc;
  }
}

// Scores that make the score rule choose as the merges do: minus the position of the first merge
// that gives the piece. Pieces that no merge gives can only be whole characters, whose score is
// never read.
std::vector<float> scores_of_merges(const TokenizerSpec& spec) {
  std::unordered_map<std::string, std::size_t> ranks;
  for (std::size_t rank = 0; rank < spec.merges.size(); ++rank) {
    std::string piece = spec.merges[rank];
    if (const std::size_t space = piece.find(' ', 1); space != std::string::npos) {
      piece.erase(space, 1);
    }
    ranks.try_emplace(std::move(piece), rank);
  }
  std::vector<float> scores(spec.tokens.size(), 0);
  for (std::size_t id = 0; id < scores.size(); ++id) {
    if (spec.kinds[id] != TokenKind::kNormal && spec.kinds[id] != TokenKind::kUserDefined) continue;
    std::string piece;
    for (const char byte : spec.tokens[id]) {
      if (byte == ' ') {
        piece += "\xE2\x96\x81";
      } else {
        piece += byte;
      }
    }
    const auto rank = ranks.find(piece);
    scores[id] = -static_cast<float>(rank == ranks.end() ? spec.merges.size() : rank->second);
  }
  return scores;
}

}  // namespace

Result<TokenizerSpec> read_tokenizer_gguf(const Metadata& metadata, const std::string& origin) {
  TokenizerSpec spec;
  const std::string* model = metadata.string(key("model"));
  const std::vector<std::string>* tokens = metadata.strings(key("tokens"));
  if (model == nullptr || tokens == nullptr || tokens->empty()) {
    return fail(not_found("reading the tokenizer of a GGUF file")
                    .in(origin)
                    .of(key(model == nullptr ? "model" : "tokens"))
                    .expects(model == nullptr ? "a string" : "an array of strings")
                    .got("none"));
  }
  spec.model = *model;
  spec.tokens = *tokens;
  if (spec.model == "gpt2") {
    const std::string* name = metadata.string(key("pre"));
    spec.pre_tokenizer = name == nullptr || name->empty() ? "default" : *name;
    const std::vector<std::string>* merges = metadata.strings(key("merges"));
    if (merges == nullptr) return bad(origin, "merges", "an array of strings", "none");
    spec.merges = *merges;
  } else if (spec.model == "llama") {
    QUANTLANE_TRY_VOID(read_scores(metadata, origin, spec));
  }
  QUANTLANE_TRY_VOID(read_kinds(metadata, origin, spec));
  set_defaults(spec);
  std::int64_t turn_id = -1, message_id = -1;
  QUANTLANE_TRY_VOID(read_id(metadata, origin, "bos_token_id", spec, spec.bos_id));
  QUANTLANE_TRY_VOID(read_id(metadata, origin, "eos_token_id", spec, spec.eos_id));
  QUANTLANE_TRY_VOID(read_id(metadata, origin, "unknown_token_id", spec, spec.unknown_id));
  QUANTLANE_TRY_VOID(read_id(metadata, origin, "padding_token_id", spec, spec.padding_id));
  QUANTLANE_TRY_VOID(read_id(metadata, origin, "eot_token_id", spec, turn_id));
  QUANTLANE_TRY_VOID(read_id(metadata, origin, "eom_token_id", spec, message_id));
  const auto flag = [&metadata](std::string_view name, bool& value) {
    value = metadata.boolean(key(name)).value_or(value);
  };
  flag("add_bos_token", spec.add_bos);
  flag("add_eos_token", spec.add_eos);
  flag("add_space_prefix", spec.add_space_prefix);
  // llama.cpp adds no space before byte-level words, whatever the key says.
  if (spec.model == "gpt2") spec.add_space_prefix = false;
  spec.add_bos = spec.add_bos && spec.bos_id >= 0;
  spec.add_eos = spec.add_eos && spec.eos_id >= 0;
  if (const std::string* chat = metadata.string("tokenizer.chat_template")) {
    spec.chat_template = *chat;
  }
  add_stop_id(spec, spec.eos_id);
  add_stop_id(spec, turn_id);
  add_stop_id(spec, message_id);
  add_template_stop_ids(spec);
  return spec;
}

Result<void> write_tokenizer_gguf(const TokenizerSpec& spec, Metadata& metadata) {
  const bool byte_level = spec.model == "gpt2";
  if (byte_level && spec.pre_tokenizer.empty()) {
    return fail(unsupported("writing a tokenizer as GGUF")
                    .of("pre-tokenizer")
                    .expects("one of " + pre_tokenizer_names())
                    .got(spec.split_patterns.empty() ? "none" : spec.split_patterns.front()));
  }
  if (!byte_level && spec.scores.empty() && spec.merges.empty()) {
    return fail(invalid("writing a tokenizer as GGUF").expects("scores or merges").got("neither"));
  }
  metadata.set(key("model"), spec.model);
  metadata.set(key("pre"), byte_level ? spec.pre_tokenizer : std::string("default"));
  metadata.set(key("tokens"), spec.tokens);
  if (!byte_level) {
    metadata.set(key("scores"), spec.scores.empty() ? scores_of_merges(spec) : spec.scores);
  }
  std::vector<std::int32_t> kinds;
  kinds.reserve(spec.kinds.size());
  for (const TokenKind kind : spec.kinds) kinds.push_back(static_cast<std::int32_t>(kind));
  metadata.set(key("token_type"), std::move(kinds));
  if (byte_level) metadata.set(key("merges"), spec.merges);
  const auto put_id = [&metadata](std::string_view name, std::int64_t id) {
    if (id >= 0) metadata.set(key(name), static_cast<std::uint32_t>(id));
  };
  put_id("bos_token_id", spec.bos_id);
  put_id("eos_token_id", spec.eos_id);
  put_id("eot_token_id", turn_end_id(spec));
  put_id("unknown_token_id", spec.unknown_id);
  put_id("padding_token_id", spec.padding_id);
  metadata.set(key("add_bos_token"), spec.add_bos);
  metadata.set(key("add_eos_token"), spec.add_eos);
  metadata.set(key("add_space_prefix"), spec.add_space_prefix);
  if (!spec.chat_template.empty()) metadata.set("tokenizer.chat_template", spec.chat_template);
  return {};
}

}  // namespace quantlane
