// What every tokenizer promises: round trips, decoding that joins, speed on hostile words, threads.
#include <ctime>
#include <functional>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>

#include <gtest/gtest.h>

#include "model/tokenizer/tokenizer_test_files.h"
#include "model/tokenizer/unicode.h"

namespace quantlane {
namespace {

using namespace test;

std::unique_ptr<Tokenizer> canary_tokenizer() {
  return tokenizer_of(read_tokenizer_folder(canary()));
}

TEST(Tokenizer, RandomUnicodeComesBack) {
  const auto tokenizer = canary_tokenizer();
  ASSERT_NE(tokenizer, nullptr);
  std::mt19937 random(3);
  for (int round = 0; round < 300; ++round) {
    std::string text;
    for (unsigned int i = 0; i < 1 + random() % 40; ++i) {
      const char32_t limit = random() % 2 == 0 ? 0x80 : 0x2FFFF;
      char32_t code_point = static_cast<char32_t>(random()) % limit;
      if (code_point >= 0xD800 && code_point < 0xE000) code_point = U'\u00E9';
      append_utf8(code_point, text);
    }
    const auto ids = tokenizer->encode(text, round % 2 == 0);
    EXPECT_EQ(tokenizer->decode(ids), text);
    // Pieces may end inside a character; joined they are the text.
    std::string joined;
    for (const std::int32_t id : ids) joined += tokenizer->decode(std::span(&id, 1));
    EXPECT_EQ(joined, text);
  }
}

TEST(Tokenizer, BytesThatAreNotUtf8BecomeReplacementCharacters) {
  const auto tokenizer = canary_tokenizer();
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("a\xFFz\xC3", true)), "a\uFFFDz\uFFFD");
}

TEST(Tokenizer, ControlTokensNeedParseSpecial) {
  const auto tokenizer = canary_tokenizer();
  ASSERT_NE(tokenizer, nullptr);
  const auto special = tokenizer->encode("<|im_start|>user", true);
  EXPECT_EQ(special.front(), 1);
  const auto plain = tokenizer->encode("<|im_start|>user", false);
  EXPECT_GT(plain.size(), special.size());
  EXPECT_EQ(tokenizer->decode(plain), "<|im_start|>user");
}

// Processor time of this process: other work on the machine does not count.
double seconds_of(const std::function<void()>& action) {
  const std::clock_t start = std::clock();
  action();
  return static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
}

// Eight times the text takes about eight times as long; quadratic merging would take 64 times.
void expect_no_quadratic_time(const Tokenizer& tokenizer, const std::string& word) {
  const std::string_view eighth = std::string_view(word).substr(0, word.size() / 8);
  const double small = seconds_of([&] { std::ignore = tokenizer.encode(eighth, true); });
  const double large = seconds_of([&] { std::ignore = tokenizer.encode(word, true); });
  EXPECT_LT(large, 24 * small + 0.25);
}

TEST(Tokenizer, OneWordOfAMegabyte) {
  const auto tokenizer = canary_tokenizer();
  ASSERT_NE(tokenizer, nullptr);
  std::mt19937 random(5);
  std::string mixed;
  for (int i = 0; i < 1 << 20; ++i) mixed += static_cast<char>('a' + random() % 26);
  for (const std::string& word :
       {std::string(1U << 20U, 'a'), mixed, std::string(1U << 20U, ' '),
        std::string(1U << 20U, '!'), std::string(1U << 20U, '\n'), std::string(1U << 20U, '7')}) {
    expect_no_quadratic_time(*tokenizer, word);
    EXPECT_EQ(tokenizer->decode(tokenizer->encode(word, true)), word);
  }
}

TEST(Tokenizer, OnePieceOfAMegabyteWithScores) {
  const fs::path path = shared("tokenizers/llama2/tokenizer.model");
  QUANTLANE_NEEDS(path);
  const auto tokenizer = tokenizer_of_model(path);
  ASSERT_NE(tokenizer, nullptr);
  for (const char letter : {'a', ' ', '\n'}) {
    const std::string word(1U << 20U, letter);
    expect_no_quadratic_time(*tokenizer, word);
    EXPECT_EQ(tokenizer->decode_text(tokenizer->encode(word, true)), word);
  }
}

TEST(Tokenizer, ThreadsShareIt) {
  const auto tokenizer = canary_tokenizer();
  ASSERT_NE(tokenizer, nullptr);
  const std::string text = contents(canary() / "eval_books.txt").substr(0, 20000);
  const auto expected = tokenizer->encode(text, true);
  std::vector<std::vector<std::int32_t>> ids(4);
  {
    std::vector<std::jthread> threads;
    for (auto& own : ids) threads.emplace_back([&] { own = tokenizer->encode(text, true); });
  }
  for (const auto& own : ids) EXPECT_EQ(own, expected);
}

TEST(Tokenizer, SpacePrefixRules) {
  TokenizerSpec spec;
  spec.model = "llama";
  spec.tokens = {"\u2581", "a", "<s>"};
  spec.scores = {0, 0, 0};
  spec.kinds = {TokenKind::kNormal, TokenKind::kNormal, TokenKind::kControl};
  spec.add_space_prefix = true;
  using Ids = std::vector<std::int32_t>;
  EXPECT_EQ(tokenizer_of(spec)->encode("a<s> a", true), (Ids{0, 1, 2, 0, 0, 1}));
  spec.prefix_unless_space = true;
  EXPECT_EQ(tokenizer_of(spec)->encode("a<s> a", true), (Ids{0, 1, 2, 0, 1}));
  EXPECT_EQ(tokenizer_of(spec)->encode("<s>a", true), (Ids{2, 0, 1}));
  spec.prefix_first_only = true;
  EXPECT_EQ(tokenizer_of(spec)->encode("a<s>a", true), (Ids{0, 1, 2, 1}));
  spec.add_space_prefix = false;
  EXPECT_EQ(tokenizer_of(spec)->encode("a", true), (Ids{1}));
  spec.tokens.emplace_back("\u2581\u2581");
  spec.scores.push_back(1);
  spec.kinds.push_back(TokenKind::kNormal);
  EXPECT_EQ(tokenizer_of(spec)->encode("a  a", true), (Ids{1, 3, 1}));
  spec.cuts_at_spaces = true;
  EXPECT_EQ(tokenizer_of(spec)->encode("a  a", true), (Ids{1, 0, 0, 1}));
}

TEST(MakeTokenizer, SaysWhatIsWrong) {
  TokenizerSpec good;
  good.model = "gpt2";
  good.pre_tokenizer = "gpt-2";
  good.tokens = {"a", "b", "ab"};
  good.kinds.assign(3, TokenKind::kNormal);
  good.merges = {"a b"};
  EXPECT_TRUE(make_tokenizer(good).has_value());
  const auto code_of = [&good](const std::function<void(TokenizerSpec&)>& change) {
    TokenizerSpec spec = good;
    change(spec);
    const auto tokenizer = make_tokenizer(std::move(spec));
    EXPECT_FALSE(tokenizer.has_value());
    return tokenizer ? ErrorCode::kInternal : tokenizer.error().code;
  };
  EXPECT_EQ(code_of([](auto& s) { s.tokens.clear(); }), ErrorCode::kCorrupt);
  EXPECT_EQ(code_of([](auto& s) { s.kinds.pop_back(); }), ErrorCode::kCorrupt);
  EXPECT_EQ(code_of([](auto& s) { s.scores = {1}; }), ErrorCode::kCorrupt);
  EXPECT_EQ(code_of([](auto& s) { s.bos_id = 3; }), ErrorCode::kCorrupt);
  EXPECT_EQ(code_of([](auto& s) { s.unknown_id = -2; }), ErrorCode::kCorrupt);
  EXPECT_EQ(code_of([](auto& s) { s.stop_ids = {99}; }), ErrorCode::kCorrupt);
  EXPECT_EQ(code_of([](auto& s) { s.strip_left = {-1}; }), ErrorCode::kCorrupt);
  EXPECT_EQ(code_of([](auto& s) { s.tokens[1] = "a"; }), ErrorCode::kCorrupt);
  EXPECT_EQ(code_of([](auto& s) { s.merges = {"b a"}; }), ErrorCode::kCorrupt);
  EXPECT_EQ(code_of([](auto& s) { s.merges = {"a"}; }), ErrorCode::kCorrupt);
  EXPECT_EQ(code_of([](auto& s) { s.pre_tokenizer = "?"; }), ErrorCode::kUnsupported);
  EXPECT_EQ(code_of([](auto& s) { s.model = "?"; }), ErrorCode::kUnsupported);
  EXPECT_EQ(code_of([](auto& s) { s.model = "llama", s.merges.clear(); }), ErrorCode::kCorrupt);
}

}  // namespace
}  // namespace quantlane
