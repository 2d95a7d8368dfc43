// Hugging Face folders: what the configuration files add, and writing such a folder.
#include <gtest/gtest.h>

#include "model/tokenizer/pretokenizers.h"
#include "model/tokenizer/tokenizer_test_files.h"
#include "model/tokenizer/tokenizer_writer.h"

namespace quantlane {
namespace {

using namespace test;

class Folder : public TokenizerFolderTest {
 protected:
  void SetUp() override {
    TokenizerFolderTest::SetUp();
    put("tokenizer.json", R"({
      "added_tokens": [{"id": 3, "content": "<|eos|>", "special": true},
                       {"id": 4, "content": "<|im_end|>", "special": true}],
      "normalizer": {"type": "NFC"},
      "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
      "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}})");
  }
  [[nodiscard]] TokenizerSpec read() const {
    const auto spec = read_tokenizer_folder(folder_);
    EXPECT_TRUE(spec.has_value()) << spec.error().message();
    return spec.value_or(TokenizerSpec{});
  }
};

TEST_F(Folder, VocabularyAlone) {
  const TokenizerSpec spec = read();
  EXPECT_EQ(spec.tokens.size(), 5U);
  EXPECT_TRUE(spec.nfc);
  EXPECT_EQ(spec.eos_id, -1);
  EXPECT_TRUE(spec.stop_ids.empty());
}

TEST_F(Folder, SpecialTokensAreStringsOrObjects) {
  put("tokenizer_config.json", R"({"bos_token": {"content": "<|im_end|>"}, "eos_token": "<|eos|>",
    "pad_token": null, "unk_token": "nowhere", "add_bos_token": true})");
  put("config.json", R"({"bos_token_id": 1, "pad_token_id": 2, "vocab_size": 8})");
  put("generation_config.json", R"({"eos_token_id": [3, 4, 77]})");
  const TokenizerSpec spec = read();
  EXPECT_EQ(spec.bos_id, 4);
  EXPECT_EQ(spec.eos_id, 3);
  EXPECT_EQ(spec.padding_id, 2);
  EXPECT_EQ(spec.unknown_id, -1);
  EXPECT_TRUE(spec.add_bos);
  EXPECT_EQ(spec.stop_ids, (std::vector<std::int64_t>{3, 4}));
  ASSERT_EQ(spec.tokens.size(), 8U);
  EXPECT_EQ(spec.tokens[7], "[PAD7]");
  EXPECT_EQ(spec.kinds[7], TokenKind::kUnused);
}

TEST_F(Folder, ChatTemplates) {
  put("tokenizer_config.json", R"({"chat_template": "one"})");
  EXPECT_EQ(read().chat_template, "one");
  put("tokenizer_config.json", R"({"chat_template": [{"name": "rag", "template": "two"},
    {"name": "default", "template": "three"}, {"name": "tool_use", "template": "four"}]})");
  EXPECT_EQ(read().chat_template, "three");
  put("chat_template.jinja", "five <|im_end|>");
  const TokenizerSpec spec = read();
  EXPECT_EQ(spec.chat_template, "five <|im_end|>");
  EXPECT_EQ(spec.stop_ids, std::vector<std::int64_t>{4});
}

TEST_F(Folder, FewerEmbeddingRowsThanAddedTokens) {
  put("config.json", R"({"vocab_size": 4, "eos_token_id": 4})");
  const TokenizerSpec spec = read();
  EXPECT_EQ(spec.tokens.size(), 4U);
  EXPECT_EQ(spec.eos_id, -1);
}

TEST_F(Folder, ErrorsNameTheFile) {
  const auto error_with = [this](const std::string& name, std::string_view text) {
    put(name, text);
    const auto spec = read_tokenizer_folder(folder_);
    EXPECT_FALSE(spec.has_value()) << name << ": " << text;
    fs::remove(folder_ / name);
    return spec ? Error{} : spec.error();
  };
  EXPECT_EQ(error_with("config.json", R"({"vocab_size": 2})").code, ErrorCode::kCorrupt);
  EXPECT_EQ(error_with("config.json", R"({"vocab_size": 99999999999})").code, ErrorCode::kCorrupt);
  EXPECT_EQ(error_with("config.json", R"({"vocab_size": 0})").code, ErrorCode::kCorrupt);
  EXPECT_NE(error_with("tokenizer_config.json", "{").file.find("tokenizer_config.json"),
            std::string::npos);
  EXPECT_NE(error_with("chat_template.jinja", "\xFF").file.find("chat_template.jinja"),
            std::string::npos);
  EXPECT_NE(error_with("tokenizer.json", "").file.find("tokenizer.json"), std::string::npos);
  const auto nothing = read_tokenizer_folder(folder_);
  ASSERT_FALSE(nothing.has_value());
  EXPECT_EQ(nothing.error().code, ErrorCode::kNotFound);
}

// Beside a tokenizer.json ranked by merges, a tokenizer.model gives the scores that GGUF wants.
TEST_F(Folder, ScoresOfTokenizerModelBesideTokenizerJson) {
  put("tokenizer.json", R"({
    "normalizer": {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "ba": 3},
              "merges": ["a b", "b a"]}})");
  EXPECT_TRUE(read().scores.empty());
  TokenizerSpec scored;
  scored.model = "llama";
  scored.tokens = {"a", "b", "ab", "other"};
  scored.scores = {-4, -3, -2, -1};
  scored.kinds.assign(4, TokenKind::kNormal);
  put("tokenizer.model", sentencepiece_model_bytes(scored));
  const TokenizerSpec spec = read();
  EXPECT_EQ(spec.scores, (std::vector<float>{-4, -3, -2, -1000}));
  EXPECT_EQ(spec.merges.size(), 2U);
}

// The patterns of a pre-tokenizer: several names stand for the same ones.
std::vector<std::string_view> patterns_of(const TokenizerSpec& spec) {
  const PreTokenizerRow* row = find_pre_tokenizer(spec.pre_tokenizer);
  return row == nullptr ? std::vector<std::string_view>{} : row->patterns;
}

// Writes `spec` into the folder and reads it back.
void expect_same_ids(const TokenizerSpec& spec, const fs::path& folder, const std::string& text) {
  const auto first = tokenizer_of(spec);
  const auto written = write_tokenizer_folder(spec, 512, folder);
  ASSERT_TRUE(written.has_value()) << written.error().message();
  const std::string rows = "{\"vocab_size\": " + std::to_string(spec.tokens.size()) + "}";
  ASSERT_TRUE(write_text(folder / "config.json", rows).has_value());
  const auto second = tokenizer_of(read_tokenizer_folder(folder));
  ASSERT_NE(first, nullptr);
  ASSERT_NE(second, nullptr);
  EXPECT_EQ(second->encode(text, true), first->encode(text, true));
  const TokenizerSpec& back = second->spec();
  EXPECT_EQ(back.tokens, spec.tokens);
  for (std::size_t id = 0; id < spec.kinds.size(); ++id) {
    // A tokenizer.json read makes control tokens of user-defined ones that look so.
    if (spec.kinds[id] == TokenKind::kUserDefined && looks_like_control(spec.tokens[id])) continue;
    EXPECT_EQ(back.kinds[id], spec.kinds[id]) << spec.tokens[id];
  }
  EXPECT_EQ(back.merges, spec.merges);
  EXPECT_EQ(back.scores, spec.scores);
  EXPECT_EQ(back.model, spec.model);
  EXPECT_EQ(back.chat_template, spec.chat_template);
  EXPECT_EQ(back.add_space_prefix, spec.add_space_prefix);
  EXPECT_EQ(back.ignore_merges, spec.ignore_merges);
  EXPECT_EQ(std::tuple(back.bos_id, back.eos_id, back.unknown_id, back.add_bos),
            std::tuple(spec.bos_id, spec.eos_id, spec.unknown_id, spec.add_bos));
  EXPECT_EQ(patterns_of(back), patterns_of(spec));
}

class WriteFolder : public TokenizerFolderTest {};

TEST_F(WriteFolder, Canary) {
  expect_same_ids(*read_tokenizer_folder(canary()), folder_,
                  contents(canary() / "eval_books.txt").substr(0, 20000) + "<|im_end|> 12345");
}

TEST_F(WriteFolder, TokenizersOfGgufFiles) {
  const fs::path vectors = shared("tokenizers/ggml-vocab");
  QUANTLANE_NEEDS(vectors);
  const std::string text = contents(vectors / "ggml-vocab-gpt-2.gguf.inp");
  for (const char* name : {"deepseek-coder", "falcon", "gpt-2", "llama-spm"}) {
    SCOPED_TRACE(name);
    const auto spec = gguf_spec(vectors / (std::string("ggml-vocab-") + name + ".gguf.gz"));
    ASSERT_TRUE(spec.has_value());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    expect_same_ids(*spec, folder_, text);
  }
}

TEST_F(WriteFolder, RankedSentencePieces) {
  const fs::path path = shared("tokenizers/phi-3/tokenizer.json.gz");
  QUANTLANE_NEEDS(path);
  const auto spec = parse_tokenizer_json(json(path), "phi-3");
  ASSERT_TRUE(spec.has_value());
  expect_same_ids(*spec, folder_, "Hello <|user|>\n  world\u3042");
}

TEST_F(WriteFolder, RefusesOtherModels) {
  TokenizerSpec spec;
  spec.model = "bert";
  const auto written = write_tokenizer_folder(spec, 512, folder_);
  ASSERT_FALSE(written.has_value());
  EXPECT_EQ(written.error().code, ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace quantlane
