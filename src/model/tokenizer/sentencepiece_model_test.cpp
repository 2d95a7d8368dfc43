// tokenizer.model: protocol buffers made by SentencePiece, made here, and broken.
#include <random>

#include <gtest/gtest.h>

#include "model/tokenizer/tokenizer_test_files.h"

namespace quantlane {
namespace {

using namespace test;

TokenizerSpec small_spec() {
  TokenizerSpec spec;
  spec.model = "llama";
  const auto add = [&spec](std::string token, float score, TokenKind kind) {
    spec.tokens.push_back(std::move(token));
    spec.scores.push_back(score);
    spec.kinds.push_back(kind);
  };
  add("<unk>", 0, TokenKind::kUnknown);
  add("<s>", 0, TokenKind::kControl);
  add("</s>", 0, TokenKind::kControl);
  for (const char* byte : {"<0x0A>", "<0xC3>", "<0xA9>"}) add(byte, 0, TokenKind::kByte);
  add("\u2581", -1, TokenKind::kNormal);
  add("a", -2, TokenKind::kNormal);
  add("b", -3, TokenKind::kNormal);
  add("\u2581a", -0.5F, TokenKind::kNormal);
  add("ab", -0.25F, TokenKind::kNormal);
  add("ba", -0.25F, TokenKind::kNormal);
  add("  ", 0, TokenKind::kUserDefined);
  spec.bos_id = 1;
  spec.eos_id = 2;
  spec.unknown_id = 0;
  spec.add_bos = spec.add_space_prefix = true;
  return spec;
}

TEST(SentencePieceModel, IsReadBackAsItWasWritten) {
  const TokenizerSpec spec = small_spec();
  const auto back = parse_sentencepiece_model(sentencepiece_model_bytes(spec), "memory");
  ASSERT_TRUE(back.has_value()) << back.error().message();
  EXPECT_EQ(back->tokens, spec.tokens);
  EXPECT_EQ(back->scores, spec.scores);
  EXPECT_EQ(back->kinds, spec.kinds);
  EXPECT_EQ(std::tuple(back->bos_id, back->eos_id, back->unknown_id, back->padding_id),
            std::tuple(1, 2, 0, -1));
  EXPECT_TRUE(back->add_bos);
  EXPECT_TRUE(back->add_space_prefix);
}

TEST(SentencePieceModel, MergesTheBestScoreLeftmostFirst) {
  const auto tokenizer = tokenizer_of(small_spec());
  ASSERT_NE(tokenizer, nullptr);
  using Ids = std::vector<std::int32_t>;
  EXPECT_EQ(tokenizer->encode("", false), Ids{});
  EXPECT_EQ(tokenizer->encode("a", false), (Ids{9}));
  EXPECT_EQ(tokenizer->encode("ab", false), (Ids{6, 10}));  // "ab" is better than "\u2581a"
  EXPECT_EQ(tokenizer->encode("aba", false), (Ids{6, 10, 7}));
  EXPECT_EQ(tokenizer->encode("b a", false), (Ids{6, 8, 9}));
  EXPECT_EQ(tokenizer->encode("b  a", false), (Ids{6, 8, 12, 9}));
  EXPECT_EQ(tokenizer->encode("b\n\u00E9", false), (Ids{6, 8, 3, 4, 5}));
  EXPECT_EQ(tokenizer->encode("bxyb", false), (Ids{6, 8, 0, 8}));  // one for neighbouring unknowns
  EXPECT_EQ(tokenizer->encode("a</s>a", true), (Ids{9, 2, 9}));
  EXPECT_EQ(tokenizer->decode(Ids{9, 12, 10, 3, 2}), " a  ab\n</s>");
  EXPECT_EQ(tokenizer->decode_text(Ids{9, 12, 10, 3, 2}), "a  ab\n</s>");
}

TEST(SentencePieceModel, RealModels) {
  const fs::path llama = shared("tokenizers/llama2/tokenizer.model");
  QUANTLANE_NEEDS(llama);
  const auto spec = parse_sentencepiece_model(contents(llama), "llama2");
  ASSERT_TRUE(spec.has_value()) << spec.error().message();
  EXPECT_EQ(spec->tokens.size(), 32000U);
  EXPECT_EQ(spec->tokens[29871], "\u2581");
  EXPECT_EQ(spec->kinds[3], TokenKind::kByte);
  EXPECT_EQ(spec->unknown_id, 0);
  const auto unigram =
      parse_sentencepiece_model(contents(shared("tokenizers/sentencepiece/test_model.model")), "t");
  ASSERT_FALSE(unigram.has_value());
  EXPECT_EQ(unigram.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(unigram.error().found, "unigram");
}

TEST(SentencePieceModel, Stories260K) {
  const fs::path model = shared("models/stories260K/tok512.model");
  QUANTLANE_NEEDS(model);
  const auto tokenizer = tokenizer_of_model(model);
  ASSERT_NE(tokenizer, nullptr);
  const Json golden = json(shared("models/stories260K/golden.json"));
  int count = 0;
  for (const Json& prompt : golden["prompts"].items()) {
    std::vector<std::int32_t> ids = tokenizer->encode(prompt["text"].string(), false);
    ids.insert(ids.begin(), static_cast<std::int32_t>(tokenizer->spec().bos_id));
    EXPECT_EQ(ids, integers(prompt["ids"])) << prompt["text"].dump();
    ++count;
  }
  EXPECT_GT(count, 0);
}

TEST(SentencePieceModel, RefusesBrokenBytes) {
  const std::string good = sentencepiece_model_bytes(small_spec());
  const auto code_of = [](std::string_view bytes) {
    const auto spec = parse_sentencepiece_model(bytes, "broken");
    return spec ? ErrorCode::kInternal : spec.error().code;
  };
  EXPECT_EQ(code_of(""), ErrorCode::kCorrupt);
  EXPECT_EQ(code_of(std::string_view(good).substr(0, good.size() - 1)), ErrorCode::kCorrupt);
  EXPECT_EQ(code_of(std::string("\x0A\x7F") + "short"), ErrorCode::kCorrupt);
  EXPECT_EQ(code_of("\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F"), ErrorCode::kCorrupt);
  EXPECT_EQ(code_of("\x0A\x04\x0A\x02\xC3\x28"), ErrorCode::kCorrupt);   // a piece that is no UTF-8
  EXPECT_EQ(code_of("\x0A\x05\x0A\x01z\x18\x09"), ErrorCode::kCorrupt);  // type 9
  EXPECT_EQ(code_of("\x0A\x03\x0A\x01z"), ErrorCode::kUnsupported);      // unigram by default
}

TEST(SentencePieceModel, ChangedBytesNeverBreakAnything) {
  const std::string good = sentencepiece_model_bytes(small_spec());
  std::mt19937 random(11);
  int made = 0;
  for (int round = 0; round < 2000; ++round) {
    std::string bytes = good;
    for (unsigned int change = 0; change <= random() % 4; ++change) {
      bytes[random() % bytes.size()] = static_cast<char>(random());
    }
    auto spec = parse_sentencepiece_model(bytes, "changed");
    if (!spec) continue;
    const auto tokenizer = make_tokenizer(std::move(*spec));
    if (!tokenizer) continue;
    const auto ids = (*tokenizer)->encode("ab a  \u00E9</s>\n", true);
    EXPECT_LE((*tokenizer)->decode(ids).size(), 1000U);
    ++made;
  }
  EXPECT_GT(made, 200);
}

}  // namespace
}  // namespace quantlane
