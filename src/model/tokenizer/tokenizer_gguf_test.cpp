// tokenizer.ggml.*: written and read back, and refused.
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/tokenizer/tokenizer_test_files.h"

namespace quantlane {
namespace {

using namespace test;

std::vector<std::string> keys(const Metadata& metadata) {
  std::vector<std::string> names;
  for (const auto& [key, value] : metadata.entries()) names.push_back(key);
  return names;
}

Metadata written(const TokenizerSpec& spec) {
  Metadata metadata;
  const auto result = write_tokenizer_gguf(spec, metadata);
  EXPECT_TRUE(result.has_value()) << result.error().message();
  return metadata;
}

TEST(TokenizerGguf, CanaryHasEverythingThatLlamaCppReads) {
  const auto spec = read_tokenizer_folder(canary());
  ASSERT_TRUE(spec.has_value());
  const Metadata metadata = written(*spec);
  EXPECT_THAT(keys(metadata),
              testing::ElementsAre("tokenizer.ggml.model", "tokenizer.ggml.pre",
                                   "tokenizer.ggml.tokens", "tokenizer.ggml.token_type",
                                   "tokenizer.ggml.merges", "tokenizer.ggml.bos_token_id",
                                   "tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                   "tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token",
                                   "tokenizer.ggml.add_space_prefix", "tokenizer.chat_template"));
  EXPECT_EQ(*metadata.string("tokenizer.ggml.model"), "gpt2");
  EXPECT_EQ(*metadata.string("tokenizer.ggml.pre"), "smollm");
  EXPECT_EQ(metadata.integer("tokenizer.ggml.eos_token_id"), 0);
  EXPECT_EQ(metadata.integer("tokenizer.ggml.eot_token_id"), 2);
  EXPECT_EQ(metadata.boolean("tokenizer.ggml.add_bos_token"), false);
  EXPECT_TRUE(std::holds_alternative<std::uint32_t>(*metadata.find("tokenizer.ggml.bos_token_id")));
  EXPECT_TRUE(std::holds_alternative<std::vector<std::int32_t>>(
      *metadata.find("tokenizer.ggml.token_type")));
  const auto back = read_tokenizer_gguf(metadata, "memory");
  ASSERT_TRUE(back.has_value()) << back.error().message();
  EXPECT_EQ(back->tokens, spec->tokens);
  EXPECT_EQ(back->kinds, spec->kinds);
  EXPECT_EQ(back->merges, spec->merges);
  EXPECT_EQ(back->pre_tokenizer, spec->pre_tokenizer);
  EXPECT_EQ(back->stop_ids, spec->stop_ids);
  EXPECT_EQ(back->chat_template, spec->chat_template);
  EXPECT_EQ(back->add_bos, spec->add_bos);
}

// What the converters of llama.cpp wrote comes out again, key by key.
TEST(TokenizerGguf, FilesOfLlamaCppAreWrittenBackAsTheyWere) {
  const fs::path folder = shared("tokenizers/ggml-vocab");
  QUANTLANE_NEEDS(folder);
  for (const char* name :
       {"deepseek-coder", "falcon", "gpt-2", "llama-spm", "mpt", "phi-3", "refact", "starcoder"}) {
    SCOPED_TRACE(name);
    const fs::path path = folder / (std::string("ggml-vocab-") + name + ".gguf.gz");
    const std::string bytes = contents(path);
    const auto file = parse_gguf(std::as_bytes(std::span(bytes)), name);
    ASSERT_TRUE(file.has_value());
    const auto spec = read_tokenizer_gguf(file->metadata, name);
    ASSERT_TRUE(spec.has_value()) << spec.error().message();
    const Metadata metadata = written(*spec);
    for (const auto& [key, value] : file->metadata.entries()) {
      if (!key.starts_with("tokenizer.")) continue;
      if (key.ends_with("add_space_prefix") && spec->model == "gpt2") continue;
      const MetadataValue* again = metadata.find(key);
      ASSERT_NE(again, nullptr) << key;
      EXPECT_TRUE(*again == value) << key;
    }
  }
}

// Scores made from merges choose as the merges do.
TEST(TokenizerGguf, RankedPiecesBecomeScoredPieces) {
  const fs::path texts = shared("corpora/wikitext-2/wiki.test.raw");
  for (const char* name : {"phi-3/tokenizer.json.gz", "gemma3/tokenizer.json.xz"}) {
    const fs::path path = shared(std::string("tokenizers/") + name);
    QUANTLANE_NEEDS(path);
    SCOPED_TRACE(name);
    const auto spec = parse_tokenizer_json(json(path), name);
    ASSERT_TRUE(spec.has_value());
    const auto ranked = tokenizer_of(*spec);
    const auto scored = tokenizer_of(read_tokenizer_gguf(written(*spec), "memory"));
    ASSERT_NE(ranked, nullptr);
    ASSERT_NE(scored, nullptr);
    EXPECT_TRUE(scored->spec().merges.empty());
    const std::string text = contents(texts).substr(0, 300000) +
                             contents(shared("tokenizers/ggml-vocab/ggml-vocab-gpt-2.gguf.inp"));
    EXPECT_EQ(scored->encode(text, true), ranked->encode(text, true));
  }
}

class BadGguf : public testing::Test {
 protected:
  void SetUp() override {
    metadata_.set("tokenizer.ggml.model", std::string("llama"));
    metadata_.set("tokenizer.ggml.tokens", std::vector<std::string>{"<unk>", "<s>", "</s>", "a"});
    metadata_.set("tokenizer.ggml.scores", std::vector<float>{0, 0, 0, -1});
    metadata_.set("tokenizer.ggml.token_type", std::vector<std::int32_t>{2, 3, 3, 1});
  }
  void expect_error(ErrorCode code, const std::string& key) const {
    auto spec = read_tokenizer_gguf(metadata_, "model.gguf");
    ASSERT_FALSE(spec.has_value());
    EXPECT_EQ(spec.error().code, code) << spec.error().message();
    EXPECT_EQ(spec.error().tensor, key) << spec.error().message();
    EXPECT_EQ(spec.error().file, "model.gguf");
  }
  Metadata metadata_;
};

TEST_F(BadGguf, IsGoodBeforeItIsBroken) {
  const auto tokenizer = tokenizer_of(read_tokenizer_gguf(metadata_, "model.gguf"));
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->spec().bos_id, 1);
  EXPECT_EQ(tokenizer->spec().eos_id, 2);
  EXPECT_TRUE(tokenizer->spec().add_bos);
  EXPECT_TRUE(tokenizer->spec().add_space_prefix);
  // Neither the space nor "b" is in the vocabulary.
  EXPECT_EQ(tokenizer->encode("aab", false), (std::vector<std::int32_t>{0, 3, 3, 0}));
}

TEST_F(BadGguf, MissingKeys) {
  metadata_.erase("tokenizer.ggml.scores");
  expect_error(ErrorCode::kCorrupt, "tokenizer.ggml.scores");
  metadata_.erase("tokenizer.ggml.tokens");
  expect_error(ErrorCode::kNotFound, "tokenizer.ggml.tokens");
  metadata_.erase("tokenizer.ggml.model");
  expect_error(ErrorCode::kNotFound, "tokenizer.ggml.model");
}

TEST_F(BadGguf, WrongTypesAndSizes) {
  metadata_.set("tokenizer.ggml.token_type", std::vector<std::int32_t>{1});
  expect_error(ErrorCode::kCorrupt, "tokenizer.ggml.token_type");
  metadata_.set("tokenizer.ggml.token_type", std::vector<std::int32_t>{1, 1, 1, 7});
  expect_error(ErrorCode::kCorrupt, "tokenizer.ggml.token_type");
  metadata_.set("tokenizer.ggml.token_type", std::string("normal"));
  expect_error(ErrorCode::kCorrupt, "tokenizer.ggml.token_type");
  metadata_.erase("tokenizer.ggml.token_type");
  metadata_.set("tokenizer.ggml.scores", std::vector<float>{0});
  expect_error(ErrorCode::kCorrupt, "tokenizer.ggml.scores");
  metadata_.set("tokenizer.ggml.model", std::string("gpt2"));
  expect_error(ErrorCode::kCorrupt, "tokenizer.ggml.merges");
}

TEST_F(BadGguf, IdsOutOfRange) {
  metadata_.set("tokenizer.ggml.eos_token_id", std::uint32_t{4});
  expect_error(ErrorCode::kCorrupt, "tokenizer.ggml.eos_token_id");
  metadata_.set("tokenizer.ggml.eos_token_id", std::int64_t{-7});
  expect_error(ErrorCode::kCorrupt, "tokenizer.ggml.eos_token_id");
  metadata_.set("tokenizer.ggml.eos_token_id", std::string("</s>"));
  expect_error(ErrorCode::kCorrupt, "tokenizer.ggml.eos_token_id");
  metadata_.set("tokenizer.ggml.eos_token_id", ~std::uint32_t{0});  // "none"
  EXPECT_TRUE(read_tokenizer_gguf(metadata_, "model.gguf").has_value());
}

TEST_F(BadGguf, ContradictionsThatMakeTokenizerFinds) {
  const auto code_of = [this] {
    auto spec = read_tokenizer_gguf(metadata_, "model.gguf");
    EXPECT_TRUE(spec.has_value());
    const auto tokenizer = make_tokenizer(std::move(*spec));
    return tokenizer ? ErrorCode::kInternal : tokenizer.error().code;
  };
  metadata_.set("tokenizer.ggml.scores", std::vector<float>{0, 0, 0, std::nanf("")});
  EXPECT_EQ(code_of(), ErrorCode::kCorrupt);
  metadata_.set("tokenizer.ggml.tokens", std::vector<std::string>{"a", "b", "c", "a"});
  metadata_.set("tokenizer.ggml.scores", std::vector<float>{0, 0, 0, 0});
  EXPECT_EQ(code_of(), ErrorCode::kCorrupt);
  metadata_.set("tokenizer.ggml.model", std::string("t5"));
  metadata_.set("tokenizer.ggml.tokens", std::vector<std::string>{"a", "b", "c", "d"});
  EXPECT_EQ(code_of(), ErrorCode::kUnsupported);
  metadata_.set("tokenizer.ggml.model", std::string("gpt2"));
  metadata_.set("tokenizer.ggml.pre", std::string("of the future"));
  metadata_.set("tokenizer.ggml.merges", std::vector<std::string>{});
  EXPECT_EQ(code_of(), ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace quantlane
