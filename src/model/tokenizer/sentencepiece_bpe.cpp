// SentencePiece-style BPE (Llama 2, Mistral, Gemma): spaces become U+2581, every character is a
// symbol, and symbols are merged by the score of the piece that they make, or by the ranks of
// merges.
#include <algorithm>
#include <array>
#include <utility>

#include "core/check.h"
#include "model/tokenizer/bpe_session.h"
#include "model/tokenizer/engines.h"
#include "model/tokenizer/space_marker.h"
#include "model/tokenizer/tokenizer_json.h"
#include "model/tokenizer/unicode.h"

namespace quantlane {
namespace {

std::vector<std::string> marked_pieces(const TokenizerSpec& spec) {
  std::vector<std::string> pieces(spec.tokens.size());
  for (std::size_t id = 0; id < pieces.size(); ++id) {
    const TokenKind kind = spec.kinds[id];
    if (kind == TokenKind::kNormal || kind == TokenKind::kUserDefined) {
      pieces[id] = with_markers(spec.tokens[id]);
    }
  }
  return pieces;
}

// Ids of the pieces that text can become; views of `pieces`.
PieceIds text_ids(const std::vector<std::string>& pieces) {
  PieceIds ids;
  ids.reserve(pieces.size());
  for (std::size_t id = 0; id < pieces.size(); ++id) {
    if (!pieces[id].empty()) ids.try_emplace(pieces[id], static_cast<std::int32_t>(id));
  }
  return ids;
}

// Merges by the score of the result.
class ScoreRule {
 public:
  ScoreRule(const TokenizerSpec& spec, const PieceIds& ids)
      : ids_(&ids), ranks_(spec.tokens.size()) {
    std::vector<float> order = spec.scores;
    std::ranges::sort(order, std::greater{});
    for (std::size_t id = 0; id < ranks_.size(); ++id) {
      const auto place = std::ranges::lower_bound(order, spec.scores[id], std::greater{});
      ranks_[id] = static_cast<std::int32_t>(place - order.begin());
    }
  }
  BpeMerge operator()(std::string_view word, const BpeSymbol& left, const BpeSymbol& right) const {
    const auto found = ids_->find(word.substr(left.begin, left.size + right.size));
    if (found == ids_->end()) return {};
    return {.rank = ranks_[static_cast<std::size_t>(found->second)], .id = found->second};
  }

 private:
  const PieceIds* ids_;
  std::vector<std::int32_t> ranks_;
};

// Merges by the rank of the pair.
class RankRule {
 public:
  explicit RankRule(MergeTable merges) : merges_(std::move(merges)) {}
  BpeMerge operator()(std::string_view, const BpeSymbol& left, const BpeSymbol& right) const {
    return merges_.find(left.id, right.id);
  }

 private:
  MergeTable merges_;
};

// True when no piece has a U+2581 after another character: merges then never cross the start of a
// marked word, so that words can be merged one by one.
bool words_are_independent(const std::vector<std::string>& pieces) {
  return std::ranges::none_of(pieces, [](const std::string& piece) {
    for (std::size_t at = 1; (at = piece.find(kSpaceMarker, at)) != std::string::npos; ++at) {
      if (!std::string_view(piece).substr(0, at).ends_with(kSpaceMarker)) return true;
    }
    return false;
  });
}

template <class Rule>
class SentencePieceBpe final : public Tokenizer {
 public:
  // `make_rule(spec, ids)` gives the Rule; `ids` lives as long as the tokenizer.
  template <class MakeRule>
  SentencePieceBpe(TokenizerSpec spec, const MakeRule& make_rule)
      : spec_(std::move(spec)),
        added_(spec_),
        pieces_(marked_pieces(spec_)),
        ids_(text_ids(pieces_)),
        rule_(make_rule(spec_, ids_)),
        cuts_words_(words_are_independent(pieces_)) {
    byte_ids_.fill(-1);
    for (std::size_t id = 0; id < spec_.tokens.size(); ++id) {
      const int value =
          spec_.kinds[id] == TokenKind::kByte ? byte_token_value(spec_.tokens[id]) : -1;
      if (value >= 0) byte_ids_[static_cast<std::size_t>(value)] = static_cast<std::int32_t>(id);
    }
  }

  std::vector<std::int32_t> encode(std::string_view text, bool parse_special) const override;
  std::string decode(std::span<const std::int32_t> ids) const override;
  const TokenizerSpec& spec() const override { return spec_; }

 private:
  void encode_fragment(std::string_view text, bool at_start, BpeSession& session) const;
  void encode_word(std::string_view word, BpeSession& session) const;
  [[nodiscard]] std::size_t word_end(std::string_view text, std::size_t begin) const;

  TokenizerSpec spec_;
  AddedTokens added_;
  std::vector<std::string> pieces_;
  PieceIds ids_;
  Rule rule_;
  bool cuts_words_;
  std::array<std::int32_t, 256> byte_ids_{};
};

template <class Rule>
std::vector<std::int32_t> SentencePieceBpe<Rule>::encode(std::string_view text,
                                                         bool parse_special) const {
  BpeSession session;
  session.encode(text, parse_special, added_, [&](std::string_view part, bool at_start) {
    encode_fragment(part, at_start, session);
  });
  return std::move(session.ids);
}

template <class Rule>
void SentencePieceBpe<Rule>::encode_fragment(std::string_view text, bool at_start,
                                             BpeSession& session) const {
  const bool has_space = text.starts_with(' ') || text.starts_with(kSpaceMarker);
  const bool prefix = spec_.add_space_prefix && (at_start || !spec_.prefix_first_only) &&
                      !(spec_.prefix_unless_space && has_space);
  const std::string_view marked =
      session.buffers.emplace_back((prefix ? std::string(kSpaceMarker) : "") + with_markers(text));
  const auto encode_new = [&](std::string_view word) { encode_word(word, session); };
  for (std::size_t begin = 0; begin < marked.size();) {
    const std::size_t end = word_end(marked, begin);
    session.add(marked.substr(begin, end - begin), encode_new);
    begin = end;
  }
}

// A word is a run of U+2581 (with cuts_at_spaces a single one) and what follows it up to the next
// one.
template <class Rule>
std::size_t SentencePieceBpe<Rule>::word_end(std::string_view text, std::size_t begin) const {
  std::size_t at = begin;
  if (spec_.cuts_at_spaces) return std::min(text.find(kSpaceMarker, begin + 1), text.size());
  if (!cuts_words_) return text.size();
  while (text.substr(at).starts_with(kSpaceMarker)) at += kSpaceMarker.size();
  return std::min(text.find(kSpaceMarker, at), text.size());
}

template <class Rule>
void SentencePieceBpe<Rule>::encode_word(std::string_view word, BpeSession& session) const {
  BpeScratch& scratch = session.scratch;
  scratch.symbols.clear();
  for (std::size_t at = 0; at < word.size();) {
    const std::size_t size = valid_utf8_length(word[at]);
    const auto found = ids_.find(word.substr(at, size));
    scratch.push(found == ids_.end() ? -1 : found->second, static_cast<std::uint32_t>(at),
                 static_cast<std::uint32_t>(size));
    at += size;
  }
  merge_symbols(scratch, [this, word](const BpeSymbol& left, const BpeSymbol& right) {
    return rule_(word, left, right);
  });
  bool after_unknown = false;
  for (std::int32_t index = 0; index >= 0; index = scratch.at(index).next) {
    const BpeSymbol& symbol = scratch.at(index);
    bool unknown = false;
    if (symbol.id >= 0) {
      session.ids.push_back(symbol.id);
    } else {
      for (const char byte : word.substr(symbol.begin, symbol.size)) {
        const std::int32_t id = byte_ids_[static_cast<unsigned char>(byte)];
        unknown = unknown || id < 0;
        if (id >= 0) session.ids.push_back(id);
      }
    }
    // Neighbouring unknown characters are one unknown token.
    if (unknown && !after_unknown && spec_.unknown_id >= 0) {
      session.ids.push_back(static_cast<std::int32_t>(spec_.unknown_id));
    }
    after_unknown = unknown;
  }
}

template <class Rule>
std::string SentencePieceBpe<Rule>::decode(std::span<const std::int32_t> ids) const {
  std::string text;
  for (const std::int32_t id : ids) {
    const auto index = static_cast<std::size_t>(id);
    if (id < 0 || index >= spec_.tokens.size()) continue;
    const std::string_view piece = spec_.tokens[index];
    switch (spec_.kinds[index]) {
      case TokenKind::kUnused:
        break;
      case TokenKind::kByte:
        if (const int value = byte_token_value(piece); value >= 0) text += static_cast<char>(value);
        break;
      case TokenKind::kNormal:
        for (std::size_t at = 0; at < piece.size();) {
          const bool is_marker = piece.substr(at).starts_with(kSpaceMarker);
          text += is_marker ? ' ' : piece[at];
          at += is_marker ? kSpaceMarker.size() : 1;
        }
        break;
      case TokenKind::kUnknown:
      case TokenKind::kControl:
      case TokenKind::kUserDefined:
        text += piece;
        break;
    }
  }
  return text;
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> make_scored_bpe(TokenizerSpec spec) {
  if (spec.scores.empty()) {
    return fail(corrupt("making a tokenizer").of("scores").expects("scores or merges").got("none"));
  }
  return std::make_unique<SentencePieceBpe<ScoreRule>>(
      std::move(spec),
      [](const TokenizerSpec& own, const PieceIds& ids) { return ScoreRule(own, ids); });
}

Result<std::unique_ptr<Tokenizer>> make_ranked_bpe(TokenizerSpec spec) {
  const std::vector<std::string> pieces = marked_pieces(spec);
  QUANTLANE_TRY(MergeTable merges, MergeTable::create(spec.merges, text_ids(pieces)));
  return std::make_unique<SentencePieceBpe<RankRule>>(
      std::move(spec),
      [&merges](const TokenizerSpec&, const PieceIds&) { return RankRule(std::move(merges)); });
}

}  // namespace quantlane
