// Vectors that other projects publish: swift-transformers (Hugging Face tokenizers' ids) and
// mistral-common (SentencePiece's ids of whole conversations).
#include <gtest/gtest.h>

#include "model/tokenizer/tiktoken_for_test.h"
#include "model/tokenizer/tokenizer_test_files.h"

namespace quantlane {
namespace {

using namespace test;

std::unique_ptr<Tokenizer> llama3() {
  TokenizerSpec spec = tiktoken_spec(contents(shared("tokenizers/llama3/tokenizer.model.gz")));
  spec.pre_tokenizer = "llama-bpe";
  spec.ignore_merges = true;
  return tokenizer_of(std::move(spec));
}
std::unique_ptr<Tokenizer> ggml(const std::string& name) {
  return tokenizer_of(gguf_spec(shared("tokenizers/ggml-vocab/ggml-vocab-" + name + ".gguf.gz")));
}

// `begin`: the id that the published lists start with, -1 for none.
void expect_swift(const Tokenizer& tokenizer, const std::string& file, const std::string& model,
                  std::int32_t begin) {
  const auto ids_of = [&](std::string_view text) {
    auto ids = tokenizer.encode(text, true);
    if (begin >= 0) ids.insert(ids.begin(), begin);
    return ids;
  };
  const Json story = json(shared("tokenizers/swift-vectors/" + file));
  EXPECT_EQ(ids_of(story["text"].string()), integers(story["token_ids"])) << model;
  const Json all = json(shared("tokenizers/swift-vectors/tokenizer_tests.json"));
  const auto& cases = all[model].items();
  ASSERT_GE(cases.size(), 18U);
  for (const Json& one : cases) {
    const auto ids = integers(one["encoded"]["input_ids"]);
    EXPECT_EQ(ids_of(one["input"].string()), ids) << model << ": " << one["input"].dump();
  }
}

TEST(SwiftVectors, Gpt2) {
  QUANTLANE_NEEDS(shared("tokenizers/swift-vectors"));
  const auto tokenizer = ggml("gpt-2");
  ASSERT_NE(tokenizer, nullptr);
  expect_swift(*tokenizer, "gpt2_encoded_tokens.json", "distilgpt2", -1);
}

TEST(SwiftVectors, Falcon) {
  QUANTLANE_NEEDS(shared("tokenizers/swift-vectors"));
  const auto tokenizer = ggml("falcon");
  ASSERT_NE(tokenizer, nullptr);
  expect_swift(*tokenizer, "falcon_encoded.json", "tiiuae/falcon-7b", -1);
}

TEST(SwiftVectors, Llama2) {
  QUANTLANE_NEEDS(shared("tokenizers/swift-vectors"));
  const auto tokenizer = tokenizer_of_model(shared("tokenizers/llama2/tokenizer.model"));
  ASSERT_NE(tokenizer, nullptr);
  expect_swift(*tokenizer, "llama_encoded.json", "coreml-projects/Llama-2-7b-chat-coreml", 1);
}

TEST(SwiftVectors, Llama32) {
  QUANTLANE_NEEDS(shared("tokenizers/swift-vectors"));
  const auto tokenizer = llama3();
  ASSERT_NE(tokenizer, nullptr);
  expect_swift(*tokenizer, "llama_3.2_encoded.json", "pcuenq/Llama-3.2-1B-Instruct-tokenizer",
               128000);
}

// The texts spell the pieces (spaces as U+2581, line feeds as <0x0A>); the space that every piece
// of text after a control token starts with is the one that add_space_prefix puts there.
std::string mistral_text(const fs::path& path, const Tokenizer& tokenizer) {
  constexpr std::string_view kMarker = "\xE2\x96\x81";
  const std::string spelled = contents(path);
  std::string text;
  for (std::size_t at = 0; at < spelled.size();) {
    const bool marker = std::string_view(spelled).substr(at).starts_with(kMarker);
    text += marker ? ' ' : spelled[at];
    at += marker ? kMarker.size() : 1;
  }
  for (std::size_t at = 0; (at = text.find("<0x0A>", at)) != std::string::npos;) {
    text.replace(at, 6, 1, '\n');
  }
  const TokenizerSpec& spec = tokenizer.spec();
  for (std::size_t id = 0; id < spec.tokens.size(); ++id) {
    if (spec.kinds[id] != TokenKind::kControl) continue;
    const std::string after = spec.tokens[id] + " ";
    for (std::size_t at = 0; (at = text.find(after, at)) != std::string::npos; ++at) {
      text.erase(at + after.size() - 1, 1);
    }
  }
  return text;
}

struct Version {
  std::string name, model;
};
void PrintTo(const Version& version, std::ostream* out) { *out << version.name; }
class MistralVectors : public testing::TestWithParam<Version> {};
TEST_P(MistralVectors, Conversations) {
  const fs::path folder = shared("tokenizers/mistral");
  QUANTLANE_NEEDS(folder);
  const auto tokenizer = tokenizer_of_model(folder / GetParam().model);
  ASSERT_NE(tokenizer, nullptr);
  int count = 0;
  for (const auto& sample : fs::directory_iterator(folder / "samples")) {
    const fs::path text = sample.path() / ("text_" + GetParam().name + ".txt");
    const fs::path tokens = sample.path() / ("tokens_" + GetParam().name + ".json");
    if (!fs::exists(text) || !fs::exists(tokens)) continue;
    EXPECT_EQ(tokenizer->encode(mistral_text(text, *tokenizer), true),
              integers(json(tokens)["tokens"]))
        << text;
    ++count;
  }
  EXPECT_GT(count, 0);
}
INSTANTIATE_TEST_SUITE_P(All, MistralVectors,
                         testing::Values(Version{"v1", "tokenizer.model.v1.gz"},
                                         Version{"v3",
                                                 "mistral_instruct_tokenizer_240323.model.v3.gz"}));

}  // namespace
}  // namespace quantlane
