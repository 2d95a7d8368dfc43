// The parts: UTF-8, regular expressions, added tokens, the merging loop.
#include <map>
#include <random>

#include <gtest/gtest.h>

#include "core/regex.h"
#include "model/tokenizer/added_tokens.h"
#include "model/tokenizer/bpe_merge.h"
#include "model/tokenizer/byte_alphabet.h"
#include "model/tokenizer/pretokenizers.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/unicode.h"

namespace quantlane {
namespace {

TEST(Unicode, RepairsOnlyWhatIsNotUtf8) {
  EXPECT_EQ(repair_utf8("a\xC3\xA9\xF0\x9F\xA6\x99"), "a\xC3\xA9\xF0\x9F\xA6\x99");
  EXPECT_EQ(repair_utf8("a\xC3"), "a\xEF\xBF\xBD");
  EXPECT_EQ(repair_utf8("\xC0\x80z"), "\xEF\xBF\xBD\xEF\xBF\xBDz");  // overlong
  EXPECT_EQ(repair_utf8("\xED\xA0\x80").size(), 9U);                 // surrogate
  EXPECT_FALSE(is_valid_utf8("\xF4\x90\x80\x80"));                   // above U+10FFFF
  EXPECT_TRUE(is_valid_utf8(std::string_view("\0\xF4\x8F\xBF\xBF", 5)));
}

TEST(Unicode, NormalizesToNfc) {
  EXPECT_EQ(nfc("e\xCC\x81"), "\xC3\xA9");
  EXPECT_EQ(nfc("\xE2\x84\xAB"), "\xC3\x85");                  // angstrom sign
  EXPECT_EQ(nfc("\xE1\x84\x80\xE1\x85\xA1"), "\xEA\xB0\x80");  // Hangul
  EXPECT_EQ(nfc("q\xCC\x87\xCC\xA3"), "q\xCC\xA3\xCC\x87");    // order of marks
  EXPECT_EQ(nfc(std::string_view("a\0b", 3)), std::string_view("a\0b", 3));
  EXPECT_FALSE(may_change_under_nfc("plain \xC3\xA9"));
  EXPECT_TRUE(may_change_under_nfc("e\xCC\x81"));
}

TEST(ByteAlphabet, SpellsEveryByteAndReadsItBack) {
  std::string letters, bytes;
  for (int byte = 0; byte < 256; ++byte) {
    letters += byte_letter(static_cast<unsigned char>(byte));
    bytes += static_cast<char>(byte);
  }
  std::string back;
  append_spelled_bytes(letters, back);
  EXPECT_EQ(back, bytes);
  EXPECT_EQ(byte_letter(' '), "\xC4\xA0");   // U+0120
  EXPECT_EQ(byte_letter('\n'), "\xC4\x8A");  // U+010A
  std::string raw;
  append_spelled_bytes("\xE2\x96\x81", raw);  // not in the alphabet
  EXPECT_EQ(raw, "\xE2\x96\x81");
}

std::vector<std::string> cut(std::string_view pattern, std::string_view text) {
  const auto regex = Regex::compile(pattern);
  EXPECT_TRUE(regex.has_value());
  std::vector<std::string> parts;
  std::size_t begin = 0;
  for (const std::size_t end : regex->refine(text, {text.size()})) {
    parts.emplace_back(text.substr(begin, end - begin));
    begin = end;
  }
  return parts;
}

using Strings = std::vector<std::string>;

TEST(Regex, KeepsMatchesAndGaps) {
  EXPECT_EQ(cut(R"(\p{N})", "ab12 c3"), (Strings{"ab", "1", "2", " c", "3"}));
  EXPECT_EQ(cut(R"(x*)", "axxb"), (Strings{"a", "xx", "b"}));  // empty matches cut nothing
  EXPECT_EQ(cut(R"(\s+)", ""), Strings{});
}

TEST(Regex, Gpt2Words) {
  EXPECT_EQ(cut(kByteLevelPattern, "Hello  world's 42!?\n\n x"),
            (Strings{"Hello", " ", " world", "'s", " 42", "!?", "\n\n", " x"}));
}

TEST(Regex, WhiteSpaceIsThatOfUnicode) {
  EXPECT_EQ(cut(R"(\s)", "a\u3000b"), (Strings{"a", "\u3000", "b"}));
  EXPECT_EQ(cut(R"(\s)", "a\u0085b"), (Strings{"a", "\u0085", "b"}));
  EXPECT_EQ(cut(R"(\s)", "a\u180Eb"), (Strings{"a\u180Eb"}));
  EXPECT_EQ(cut(R"([^\s\p{L}]+)", "a\u180E\u200Bb"), (Strings{"a", "\u180E\u200B", "b"}));
}

TEST(Regex, MatchesDoNotSeeBeyondTheirPart) {
  const auto regex = Regex::compile(R"(\s+(?!\S))");
  ASSERT_TRUE(regex.has_value());
  // As one part the last space belongs to "b"; as two parts the first ends with white space.
  EXPECT_EQ(regex->refine("a  b", {4}), (std::vector<std::size_t>{1, 2, 4}));
  EXPECT_EQ(regex->refine("a  b", {3, 4}), (std::vector<std::size_t>{1, 3, 4}));
}

TEST(Regex, RefusesWhatItCannotRun) {
  EXPECT_EQ(Regex::compile("(a").error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(Regex::compile("[a-z&&[^q]]").error().code, ErrorCode::kUnsupported);
}

TEST(Regex, BacktrackingEndsAndLosesNoText) {
  const std::string text(2000, 'a');
  const auto parts = cut("(a+)+$x|b", text);
  std::string joined;
  for (const std::string& part : parts) joined += part;
  EXPECT_EQ(joined, text);
}

TEST(PreTokenizers, EveryRowCompilesAndIsFoundByName) {
  for (const PreTokenizerRow& row : pre_tokenizer_table()) {
    ASSERT_NE(find_pre_tokenizer(row.name), nullptr);
    if (find_pre_tokenizer(row.name) != &row) continue;  // another spelling, for recognition only
    for (const std::string_view pattern : row.patterns) {
      EXPECT_TRUE(Regex::compile(pattern).has_value()) << row.name << ": " << pattern;
    }
  }
  EXPECT_EQ(find_pre_tokenizer("no such name"), nullptr);
}

TEST(PreTokenizers, FlagsChooseBetweenEqualPatterns) {
  EXPECT_EQ(recognise_pre_tokenizer({std::string(kByteLevelPattern)}, false, false)->name, "gpt-2");
  EXPECT_TRUE(recognise_pre_tokenizer({std::string(kByteLevelPattern)}, false, true)->nfc);
  EXPECT_EQ(recognise_pre_tokenizer({std::string(kByteLevelPattern)}, true, false)->name, "gpt-2");
  const PreTokenizerRow* llama = find_pre_tokenizer("llama-bpe");
  const Strings patterns(llama->patterns.begin(), llama->patterns.end());
  EXPECT_EQ(recognise_pre_tokenizer(patterns, true, false)->name, "llama-bpe");
  EXPECT_FALSE(recognise_pre_tokenizer(patterns, false, false)->ignore_merges);
  EXPECT_EQ(recognise_pre_tokenizer({"unheard of"}, false, false), nullptr);
}

TokenizerSpec added_spec() {
  TokenizerSpec spec;
  spec.tokens = {"<s>", "<s>x", "ab", "abc", "bcde", "plain"};
  spec.kinds = {TokenKind::kControl,     TokenKind::kControl,     TokenKind::kUserDefined,
                TokenKind::kUserDefined, TokenKind::kUserDefined, TokenKind::kNormal};
  return spec;
}

std::string fragments(const AddedTokens& added, std::string_view text, bool parse_special) {
  std::string list;
  for (const Fragment& part : added.split(text, parse_special)) {
    const std::string piece(text.substr(part.begin, part.end - part.begin));
    list += part.id >= 0 ? "[" + std::to_string(part.id) + "]" : piece + "|";
  }
  return list;
}

TEST(AddedTokens, LeftmostThenLongest) {
  const AddedTokens added(added_spec());
  EXPECT_EQ(fragments(added, "abcde", true), "[3]de|");
  EXPECT_EQ(fragments(added, "xabbcdeplain", true), "x|[2][4]plain|");
  EXPECT_EQ(fragments(added, "", true), "");
  EXPECT_EQ(fragments(added, "ab", true), "[2]");
}

TEST(AddedTokens, ControlTokensOnlyOnRequest) {
  const AddedTokens added(added_spec());
  EXPECT_EQ(fragments(added, "<s>xab", true), "[1][2]");
  EXPECT_EQ(fragments(added, "<s>xab", false), "<s>x|[2]");
}

TEST(AddedTokens, SwallowWhiteSpace) {
  TokenizerSpec spec = added_spec();
  spec.strip_left = {2};
  spec.strip_right = {0};
  const AddedTokens added(spec);
  EXPECT_EQ(fragments(added, "u \u3000\n ab v", true), "u|[2] v|");
  EXPECT_EQ(fragments(added, "u <s> \n v", true), "u |[0]v|");
  EXPECT_EQ(fragments(added, "<s>  ab", true), "[0][2]");
  EXPECT_EQ(fragments(added, "<s>  ", true), "[0]");
}

// The definition of BPE: look through all pairs, merge the best, again.
std::vector<std::int32_t> merge_by_scanning(
    std::vector<std::int32_t> ids,
    const std::map<std::pair<std::int32_t, std::int32_t>, BpeMerge>& merges) {
  while (true) {
    std::size_t place = ids.size();
    BpeMerge best;
    for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
      const auto found = merges.find({ids[i], ids[i + 1]});
      if (found == merges.end()) continue;
      if (best.rank < 0 || found->second.rank < best.rank) best = found->second, place = i;
    }
    if (place == ids.size()) return ids;
    ids[place] = best.id;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(place) + 1);
  }
}

TEST(MergeSymbols, EqualsScanningOnRandomVocabularies) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    std::map<std::pair<std::int32_t, std::int32_t>, BpeMerge> merges;
    std::int32_t next_id = 3;
    for (std::int32_t rank = 0; rank < 30; ++rank) {
      const auto left = static_cast<std::int32_t>(random() % static_cast<unsigned>(next_id));
      const auto right = static_cast<std::int32_t>(random() % static_cast<unsigned>(next_id));
      if (merges.try_emplace({left, right}, BpeMerge{.rank = rank, .id = next_id}).second)
        ++next_id;
    }
    std::vector<std::int32_t> word(1 + random() % 60);
    BpeScratch scratch;
    for (std::size_t i = 0; i < word.size(); ++i) {
      word[i] = static_cast<std::int32_t>(random() % 3);
      scratch.push(word[i], static_cast<std::uint32_t>(i), 1);
    }
    merge_symbols(scratch, [&merges](const BpeSymbol& left, const BpeSymbol& right) {
      const auto found = merges.find({left.id, right.id});
      return found == merges.end() ? BpeMerge{} : found->second;
    });
    std::vector<std::int32_t> merged;
    for (std::int32_t at = 0; at >= 0; at = scratch.at(at).next)
      merged.push_back(scratch.at(at).id);
    EXPECT_EQ(merged, merge_by_scanning(word, merges));
  }
}

}  // namespace
}  // namespace quantlane
