// Byte-level BPE (GPT-2, Llama 3, Qwen, SmolLM): the text is cut into words by regular expressions,
// every byte of a word is a symbol, and symbols are merged by rank.
#include <array>
#include <utility>

#include <fmt/format.h>

#include "core/check.h"
#include "core/regex.h"
#include "model/tokenizer/bpe_session.h"
#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/engines.h"
#include "model/tokenizer/pretokenizers.h"
#include "model/tokenizer/unicode.h"

namespace quantlane {
namespace {

class ByteLevelBpe final : public Tokenizer {
 public:
  ByteLevelBpe(TokenizerSpec spec, MergeTable merges, std::vector<Regex> patterns)
      : spec_(std::move(spec)),
        merges_(std::move(merges)),
        patterns_(std::move(patterns)),
        added_(spec_),
        ids_(piece_ids(spec_)) {
    for (unsigned int byte = 0; byte < 256; ++byte) {
      const auto found = ids_.find(byte_letter(static_cast<unsigned char>(byte)));
      byte_ids_[byte] =
          found == ids_.end() ? static_cast<std::int32_t>(spec_.unknown_id) : found->second;
    }
  }

  std::vector<std::int32_t> encode(std::string_view text, bool parse_special) const override;
  std::string decode(std::span<const std::int32_t> ids) const override;
  const TokenizerSpec& spec() const override { return spec_; }

 private:
  void encode_fragment(std::string_view text, bool at_start, BpeSession& session) const;
  void encode_word(std::string_view word, BpeSession& session) const;

  TokenizerSpec spec_;
  MergeTable merges_;
  std::vector<Regex> patterns_;
  AddedTokens added_;
  PieceIds ids_;
  std::array<std::int32_t, 256> byte_ids_{};
};

std::vector<std::int32_t> ByteLevelBpe::encode(std::string_view text, bool parse_special) const {
  BpeSession session;
  session.encode(text, parse_special, added_, [&](std::string_view part, bool at_start) {
    encode_fragment(part, at_start, session);
  });
  return std::move(session.ids);
}

void ByteLevelBpe::encode_fragment(std::string_view text, bool at_start,
                                   BpeSession& session) const {
  if (spec_.nfc && may_change_under_nfc(text)) text = session.buffers.emplace_back(nfc(text));
  if (spec_.add_space_prefix && (at_start || !spec_.prefix_first_only) &&
      !(spec_.prefix_unless_space && text.starts_with(' '))) {
    text = session.buffers.emplace_back(fmt::format(" {}", text));
  }
  std::vector<std::size_t> ends{text.size()};
  for (const Regex& pattern : patterns_) ends = pattern.refine(text, ends);
  const auto encode_new = [&](std::string_view word) { encode_word(word, session); };
  std::size_t begin = 0;
  for (const std::size_t end : ends) {
    session.add(text.substr(begin, end - begin), encode_new);
    begin = end;
  }
}

void ByteLevelBpe::encode_word(std::string_view word, BpeSession& session) const {
  if (spec_.ignore_merges) {
    std::string spelled;
    for (const char byte : word) spelled += byte_letter(static_cast<unsigned char>(byte));
    if (const auto whole = ids_.find(spelled); whole != ids_.end()) {
      session.ids.push_back(whole->second);
      return;
    }
  }
  BpeScratch& scratch = session.scratch;
  scratch.symbols.clear();
  for (std::size_t at = 0; at < word.size(); ++at) {
    const std::int32_t id = byte_ids_[static_cast<unsigned char>(word[at])];
    if (id >= 0) scratch.push(id, static_cast<std::uint32_t>(at), 1);
  }
  if (scratch.symbols.empty()) return;
  merge_symbols(scratch, [this](const BpeSymbol& left, const BpeSymbol& right) {
    return merges_.find(left.id, right.id);
  });
  for (std::int32_t symbol = 0; symbol >= 0; symbol = scratch.at(symbol).next) {
    session.ids.push_back(scratch.at(symbol).id);
  }
}

std::string ByteLevelBpe::decode(std::span<const std::int32_t> ids) const {
  std::string text;
  for (const std::int32_t id : ids) {
    const auto index = static_cast<std::size_t>(id);
    if (id < 0 || index >= spec_.tokens.size()) continue;
    switch (spec_.kinds[index]) {
      case TokenKind::kUnused:
        break;
      case TokenKind::kNormal:
      case TokenKind::kByte:
        append_spelled_bytes(spec_.tokens[index], text);
        break;
      case TokenKind::kUnknown:
      case TokenKind::kControl:
      case TokenKind::kUserDefined:
        text += spec_.tokens[index];
        break;
    }
  }
  return text;
}

}  // namespace

Result<std::unique_ptr<Tokenizer>> make_byte_level_bpe(TokenizerSpec spec) {
  std::vector<Regex> patterns;
  const auto compile = [&patterns](std::string_view pattern) -> Result<void> {
    QUANTLANE_TRY(Regex regex, Regex::compile(pattern));
    patterns.push_back(std::move(regex));
    return {};
  };
  if (const PreTokenizerRow* row = find_pre_tokenizer(spec.pre_tokenizer)) {
    for (const std::string_view pattern : row->patterns) QUANTLANE_TRY_VOID(compile(pattern));
  } else if (spec.pre_tokenizer.empty()) {
    for (const std::string& pattern : spec.split_patterns) QUANTLANE_TRY_VOID(compile(pattern));
  } else {
    return fail(unsupported("making a tokenizer")
                    .of("pre-tokenizer")
                    .expects("one of " + pre_tokenizer_names())
                    .got(fmt::format("\"{}\"", spec.pre_tokenizer)));
  }
  QUANTLANE_TRY(MergeTable merges, MergeTable::create(spec.merges, piece_ids(spec)));
  return std::make_unique<ByteLevelBpe>(std::move(spec), std::move(merges), std::move(patterns));
}

}  // namespace quantlane
