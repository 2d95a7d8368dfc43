// Ids of the Python package tokenizers for every structure of tokenizer.json that is supported
// (tests/data/tokenizers/golden_ids.json says which version), and round trips.
#include <algorithm>

#include <gtest/gtest.h>

#include "model/tokenizer/pretokenizers.h"
#include "model/tokenizer/tokenizer_test_files.h"

namespace quantlane {
namespace {

using namespace test;

void expect_golden(const std::string& name, const fs::path& path) {
  const auto tokenizer = tokenizer_of_json(path);
  ASSERT_NE(tokenizer, nullptr);
  const Json golden = json(committed("golden_ids.json"));
  const auto& texts = golden["texts"].items();
  const auto& lists = golden["ids"][name].items();
  ASSERT_GE(texts.size(), 50U);
  ASSERT_EQ(texts.size(), lists.size());
  for (std::size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(tokenizer->encode(texts[i].string(), true), integers(lists[i]))
        << name << ": " << texts[i].dump();
  }
}

TEST(GoldenIds, Canary) { expect_golden("canary", canary() / "tokenizer.json"); }

// Every row of the table of pre-tokenizers, with the vocabulary of the canary.
TEST(GoldenIds, CutsOfEveryPreTokenizer) {
  const auto spec = read_tokenizer_folder(canary());
  ASSERT_TRUE(spec.has_value());
  const Json golden = json(committed("golden_ids.json"));
  const auto& texts = golden["texts"].items();
  for (const PreTokenizerRow& row : pre_tokenizer_table()) {
    const Json* counts = nullptr;
    for (const Json& cut : golden["cuts"].items()) {
      const auto& patterns = cut["patterns"].items();
      const auto text_of = [](const Json& pattern) { return pattern.string(); };
      if (std::ranges::equal(patterns, row.patterns, {}, text_of)) counts = &cut["token_counts"];
    }
    ASSERT_NE(counts, nullptr) << row.name;
    TokenizerSpec changed = *spec;
    changed.pre_tokenizer = row.name;
    const auto tokenizer = tokenizer_of(changed);
    ASSERT_NE(tokenizer, nullptr);
    for (std::size_t i = 0; i < texts.size(); ++i) {
      EXPECT_EQ(static_cast<std::int64_t>(tokenizer->encode(texts[i].string(), true).size()),
                counts->items()[i].integer())
          << row.name << ": " << texts[i].dump();
    }
  }
}

struct SharedTokenizer {
  std::string name, path;
};
void PrintTo(const SharedTokenizer& tokenizer, std::ostream* out) { *out << tokenizer.name; }
class GoldenIdsOfShared : public testing::TestWithParam<SharedTokenizer> {};
TEST_P(GoldenIdsOfShared, AreTheSame) {
  const fs::path path = shared("tokenizers/" + GetParam().path);
  QUANTLANE_NEEDS(path);
  expect_golden(GetParam().name, path);
}
INSTANTIATE_TEST_SUITE_P(All, GoldenIdsOfShared,
                         testing::Values(SharedTokenizer{"qwen3", "qwen3/tokenizer.json.gz"},
                                         SharedTokenizer{"gpt-neox",
                                                         "gpt-neox/20B_tokenizer.json.gz"},
                                         SharedTokenizer{"phi-3", "phi-3/tokenizer.json.gz"},
                                         SharedTokenizer{"gemma3", "gemma3/tokenizer.json.xz"}));

TEST(GoldenIds, CanaryDecodesABookToItself) {
  const auto tokenizer = tokenizer_of(read_tokenizer_folder(canary()));
  ASSERT_NE(tokenizer, nullptr);
  const std::string book = contents(canary() / "eval_books.txt");
  const auto ids = tokenizer->encode(book, false);
  EXPECT_EQ(ids.size(), 50374U);  // as the Python package tokenizers 0.23.3
  EXPECT_EQ(tokenizer->decode(ids), book);
}

TEST(GoldenIds, CanaryOfWikitext) {
  const fs::path path = shared("corpora/wikitext-2/wiki.test.raw");
  QUANTLANE_NEEDS(path);
  const auto tokenizer = tokenizer_of(read_tokenizer_folder(canary()));
  ASSERT_NE(tokenizer, nullptr);
  const std::string text = contents(path);
  const auto ids = tokenizer->encode(text, true);
  EXPECT_EQ(ids.size(), 444375U);  // as the Python package tokenizers 0.23.3
  EXPECT_EQ(tokenizer->decode(ids), text);
}

}  // namespace
}  // namespace quantlane
