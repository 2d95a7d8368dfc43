// llama.cpp's tokenizer vectors (models/ggml-vocab-*.gguf with .inp and .out).
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/tokenizer/tiktoken_for_test.h"
#include "model/tokenizer/tokenizer_test_files.h"

namespace quantlane {
namespace {

using namespace test;

fs::path vectors(const std::string& name, const std::string& suffix) {
  return shared("tokenizers/ggml-vocab") / ("ggml-vocab-" + name + ".gguf" + suffix);
}

struct Case {
  std::string text;
  std::vector<std::int32_t> ids;
};

std::vector<Case> cases_of(const std::string& name) {
  constexpr std::string_view kSeparator = "\n__ggml_vocab_test__\n";
  const std::string texts = contents(vectors(name, ".inp"));
  std::istringstream lines(contents(vectors(name, ".out")));
  std::vector<Case> cases;
  std::string line;
  std::size_t begin = 0;
  while (std::getline(lines, line)) {
    const std::size_t end = std::min(texts.find(kSeparator, begin), texts.size());
    Case one{.text = texts.substr(begin, end - begin), .ids = {}};
    std::istringstream numbers(line);
    for (std::int32_t id = 0; numbers >> id;) one.ids.push_back(id);
    cases.push_back(std::move(one));
    begin = std::min(end + kSeparator.size(), texts.size());
  }
  return cases;
}

void expect_vectors(const Tokenizer& tokenizer, const std::string& name) {
  const std::vector<Case> cases = cases_of(name);
  EXPECT_GE(cases.size(), 46U);
  for (const Case& one : cases) {
    EXPECT_EQ(tokenizer.encode(one.text, false), one.ids) << name << ": \"" << one.text << '"';
    EXPECT_EQ(tokenizer.decode_text(one.ids), one.text) << name;
  }
}

// Vectors whose vocabulary comes as GGUF beside them.
class GgmlVocabulary : public testing::TestWithParam<const char*> {};

TEST_P(GgmlVocabulary, EncodesAndDecodesAsLlamaCpp) {
  QUANTLANE_NEEDS(vectors(GetParam(), ".gz"));
  const auto tokenizer = tokenizer_of(gguf_spec(vectors(GetParam(), ".gz")));
  ASSERT_NE(tokenizer, nullptr);
  expect_vectors(*tokenizer, GetParam());
}

INSTANTIATE_TEST_SUITE_P(All, GgmlVocabulary,
                         testing::Values("deepseek-coder", "falcon", "gpt-2", "llama-spm", "mpt",
                                         "phi-3", "refact", "starcoder"));

TEST(GgmlVectors, Qwen2ThroughTheTokenizerJsonOfQwen3) {
  const fs::path path = shared("tokenizers/qwen3/tokenizer.json.gz");
  QUANTLANE_NEEDS(path);
  const auto tokenizer = tokenizer_of_json(path);
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->spec().pre_tokenizer, "qwen2");
  expect_vectors(*tokenizer, "qwen2");
}

TEST(GgmlVectors, LlamaBpeThroughTheRanksOfLlama3) {
  const fs::path path = shared("tokenizers/llama3/tokenizer.model.gz");
  QUANTLANE_NEEDS(path);
  TokenizerSpec spec = tiktoken_spec(contents(path));
  ASSERT_EQ(spec.tokens.size(), 128000U);
  spec.pre_tokenizer = "llama-bpe";
  spec.ignore_merges = true;
  const auto tokenizer = tokenizer_of(std::move(spec));
  ASSERT_NE(tokenizer, nullptr);
  expect_vectors(*tokenizer, "llama-bpe");
}

TEST(GgmlVectors, LlamaSpmThroughTokenizerModel) {
  const fs::path path = shared("tokenizers/llama2/tokenizer.model");
  QUANTLANE_NEEDS(path);
  const auto tokenizer = tokenizer_of_model(path);
  ASSERT_NE(tokenizer, nullptr);
  expect_vectors(*tokenizer, "llama-spm");
}

TEST(GgmlVectors, Phi3ThroughTokenizerJsonRankedByMerges) {
  const fs::path path = shared("tokenizers/phi-3/tokenizer.json.gz");
  QUANTLANE_NEEDS(path);
  const auto tokenizer = tokenizer_of_json(path);
  ASSERT_NE(tokenizer, nullptr);
  expect_vectors(*tokenizer, "phi-3");
}

TEST(GgmlVectors, WordPieceIsRefusedByName) {
  QUANTLANE_NEEDS(vectors("bert-bge", ".gz"));
  const auto spec = gguf_spec(vectors("bert-bge", ".gz"));
  ASSERT_TRUE(spec.has_value()) << spec.error().message();
  const auto tokenizer = make_tokenizer(*spec);
  ASSERT_FALSE(tokenizer.has_value());
  EXPECT_EQ(tokenizer.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(tokenizer.error().found, "\"bert\"");
}

// Every vector file is run above, or is here with the reason why it cannot be.
TEST(GgmlVectors, NoVectorFileIsForgotten) {
  QUANTLANE_NEEDS(shared("tokenizers/ggml-vocab"));
  const std::vector<std::string> run = {
      "deepseek-coder", "falcon", "gpt-2",     "llama-spm", "mpt",
      "phi-3",          "refact", "starcoder", "qwen2",     "llama-bpe"};
  const std::vector<std::string> not_run = {
      "bert-bge",      // WordPiece is not supported
      "command-r",     // no vocabulary at hand
      "deepseek-llm",  // no vocabulary at hand
      "gemma-4",       // no vocabulary at hand
      "qwen35",        // no vocabulary at hand
  };
  std::vector<std::string> known = run;
  known.insert(known.end(), not_run.begin(), not_run.end());
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(shared("tokenizers/ggml-vocab"))) {
    const std::string name = entry.path().filename().string();
    const std::size_t end = name.find(".gguf.inp");
    if (end != std::string::npos) found.push_back(name.substr(11, end - 11));
  }
  EXPECT_THAT(found, testing::UnorderedElementsAreArray(known));
}

}  // namespace
}  // namespace quantlane
