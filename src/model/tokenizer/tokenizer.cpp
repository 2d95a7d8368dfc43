#include "model/tokenizer/tokenizer.h"

#include <cmath>

#include <fmt/format.h>

#include "core/check.h"
#include "model/tokenizer/engines.h"

namespace quantlane {
namespace {

constexpr std::size_t kMaxTokens = std::size_t{1} << 24;

Result<void> check_ids(const TokenizerSpec& spec) {
  const auto count = static_cast<std::int64_t>(spec.tokens.size());
  const auto check = [count](const std::string& name, std::int64_t id,
                             std::int64_t least = 0) -> Result<void> {
    if (id >= least && id < count) return {};
    return fail(corrupt("making a tokenizer")
                    .of(name)
                    .expects(fmt::format("an id below {}, the number of tokens", count))
                    .got(std::to_string(id)));
  };
  QUANTLANE_TRY_VOID(check("the id of the begin token", spec.bos_id, -1));
  QUANTLANE_TRY_VOID(check("the id of the end token", spec.eos_id, -1));
  QUANTLANE_TRY_VOID(check("the id of the unknown token", spec.unknown_id, -1));
  QUANTLANE_TRY_VOID(check("the id of the padding token", spec.padding_id, -1));
  for (const std::int64_t id : spec.stop_ids) QUANTLANE_TRY_VOID(check("a stop id", id));
  for (const std::int32_t id : spec.strip_left) QUANTLANE_TRY_VOID(check("a stripping token", id));
  for (const std::int32_t id : spec.strip_right) QUANTLANE_TRY_VOID(check("a stripping token", id));
  return {};
}

}  // namespace

Result<void> check_tokenizer_spec(const TokenizerSpec& spec) {
  const std::size_t count = spec.tokens.size();
  const auto bad = [](std::string of, std::string expected, std::string found) {
    return fail(corrupt("making a tokenizer")
                    .of(std::move(of))
                    .expects(std::move(expected))
                    .got(std::move(found)));
  };
  if (count == 0 || count > kMaxTokens) {
    return bad("tokens", fmt::format("1 to {} tokens", kMaxTokens), std::to_string(count));
  }
  if (spec.kinds.size() != count) {
    return bad("token kinds", std::to_string(count) + ", one for each token",
               std::to_string(spec.kinds.size()));
  }
  if (!spec.scores.empty() && spec.scores.size() != count) {
    return bad("scores", std::to_string(count) + ", one for each token",
               std::to_string(spec.scores.size()));
  }
  for (std::size_t id = 0; id < spec.scores.size(); ++id) {
    if (std::isnan(spec.scores[id])) {
      return bad(fmt::format("the score of token {}", id), "a number", "NaN");
    }
  }
  QUANTLANE_TRY_VOID(check_ids(spec));
  PieceIds first;
  first.reserve(count);
  for (std::size_t id = 0; id < count; ++id) {
    if (spec.kinds[id] == TokenKind::kUnused || spec.tokens[id].empty()) continue;
    const auto [place, is_new] = first.try_emplace(spec.tokens[id], static_cast<std::int32_t>(id));
    if (!is_new) {
      return bad(fmt::format("token {}", id), "every token once",
                 fmt::format("\"{}\", which token {} is already", spec.tokens[id], place->second));
    }
  }
  return {};
}

PieceIds piece_ids(const TokenizerSpec& spec) {
  PieceIds ids;
  ids.reserve(spec.tokens.size());
  for (const bool normal : {true, false}) {
    for (std::size_t id = 0; id < spec.tokens.size(); ++id) {
      if ((spec.kinds[id] == TokenKind::kNormal) != normal || spec.tokens[id].empty()) continue;
      if (spec.kinds[id] == TokenKind::kUnused) continue;
      ids.try_emplace(spec.tokens[id], static_cast<std::int32_t>(id));
    }
  }
  return ids;
}

std::string Tokenizer::decode_text(std::span<const std::int32_t> ids) const {
  std::string text = decode(ids);
  if (spec().add_space_prefix && text.starts_with(' ')) text.erase(0, 1);
  return text;
}

Result<std::unique_ptr<Tokenizer>> make_tokenizer(TokenizerSpec spec) {
  QUANTLANE_TRY_VOID(check_tokenizer_spec(spec));
  if (spec.model == "gpt2") return make_byte_level_bpe(std::move(spec));
  if (spec.model == "llama") {
    return spec.merges.empty() ? make_scored_bpe(std::move(spec))
                               : make_ranked_bpe(std::move(spec));
  }
  return fail(unsupported("making a tokenizer")
                  .of("tokenizer model")
                  .expects("gpt2 (byte-level BPE) or llama (SentencePiece BPE)")
                  .got(fmt::format("\"{}\"", spec.model)));
}

}  // namespace quantlane
