// tokenizer.json: what is read, and what is refused with which error.
#include <gtest/gtest.h>

#include "model/tokenizer/pretokenizers.h"
#include "model/tokenizer/tokenizer_test_files.h"

namespace quantlane {
namespace {

using namespace test;

// A byte-level tokenizer of a few letters; members can be replaced.
Json small_document() {
  const auto parsed = Json::parse(R"({
    "added_tokens": [{"id": 9, "content": "<|end|>", "special": true},
                     {"id": 10, "content": "<tool>", "special": false, "rstrip": true}],
    "normalizer": null,
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
    "post_processor": null,
    "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE", "unk_token": null, "byte_fallback": false, "ignore_merges": false,
      "vocab": {"a": 0, "b": 1, "c": 2, "\u0120": 3, "ab": 4, "abc": 5, "\u0120a": 6, "bc": 7},
      "merges": ["a b", "ab c", "\u0120 a", "b c"]}})",
                                  "small");
  EXPECT_TRUE(parsed.has_value());
  return *parsed;
}

Json with_model(const std::string& member, const std::string& value) {
  Json document = small_document();
  Json model = document["model"];
  model.set(member, Json::parse(value, "value").value());
  return document.set("model", model);
}
Json with(const std::string& member, const std::string& value) {
  Json document = small_document();
  return document.set(member, Json::parse(value, "value").value());
}

Error error_of(const Json& document) {
  auto spec = parse_tokenizer_json(document, "tokenizer.json");
  if (!spec) return spec.error();
  auto tokenizer = make_tokenizer(std::move(*spec));
  EXPECT_FALSE(tokenizer.has_value()) << document.dump();
  return tokenizer ? Error{} : tokenizer.error();
}

TEST(TokenizerJson, ReadsASmallDocument) {
  const auto spec = parse_tokenizer_json(small_document(), "tokenizer.json");
  ASSERT_TRUE(spec.has_value()) << spec.error().message();
  EXPECT_EQ(spec->model, "gpt2");
  EXPECT_EQ(spec->pre_tokenizer, "gpt-2");
  ASSERT_EQ(spec->tokens.size(), 11U);
  EXPECT_EQ(spec->tokens[8], "[PAD8]");
  EXPECT_EQ(spec->kinds[8], TokenKind::kUnused);
  EXPECT_EQ(spec->kinds[9], TokenKind::kControl);
  EXPECT_EQ(spec->kinds[10], TokenKind::kUserDefined);
  EXPECT_EQ(spec->strip_right, std::vector<std::int32_t>{10});
  const auto tokenizer = tokenizer_of(*spec);
  ASSERT_NE(tokenizer, nullptr);
  using Ids = std::vector<std::int32_t>;
  EXPECT_EQ(tokenizer->encode("abc a bc", true), (Ids{5, 6, 3, 7}));
  EXPECT_EQ(tokenizer->encode("a<|end|>b", true), (Ids{0, 9, 1}));
  EXPECT_EQ(tokenizer->encode("b<tool> \n a", false), (Ids{1, 10, 0}));
  // Bytes that the vocabulary lacks are left out before merging, as there is no unknown token.
  EXPECT_EQ(tokenizer->encode("axb", true), (Ids{4}));
  EXPECT_EQ(tokenizer->decode(Ids{5, 6, 9, 8, -4, 99, 10}), "abc a<|end|><tool>");
}

TEST(TokenizerJson, BothSpellingsOfMerges) {
  const auto spec = parse_tokenizer_json(
      with_model("merges", R"([["a","b"],["ab","c"],["\u0120","a"],["b","c"]])"), "t");
  ASSERT_TRUE(spec.has_value());
  EXPECT_EQ(spec->merges, parse_tokenizer_json(small_document(), "t")->merges);
}

TEST(TokenizerJson, IgnoreMergesLooksUpWholeWords) {
  Json document = with_model("ignore_merges", "true");
  Json model = document["model"];
  model.set("merges", Json::array());
  document.set("model", model);
  const auto tokenizer = tokenizer_of(parse_tokenizer_json(document, "t"));
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->encode("abc cab", true), (std::vector<std::int32_t>{5, 3, 2, 0, 1}));
}

TEST(TokenizerJson, RecognisesPreTokenizersByStructure) {
  const auto name_of = [](const std::string& pre_tokenizer) {
    const auto spec = parse_tokenizer_json(with("pre_tokenizer", pre_tokenizer), "t");
    EXPECT_TRUE(spec.has_value()) << pre_tokenizer;
    return spec ? spec->pre_tokenizer : "none";
  };
  const std::string bytes = R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":true})";
  const std::string only_bytes =
      R"({"type":"ByteLevel","add_prefix_space":false,"use_regex":false})";
  const auto sequence = [](const std::string& parts) {
    return R"({"type":"Sequence","pretokenizers":[)" + parts + "]}";
  };
  const auto split = [](const std::string& pattern) {
    return Json::object({{"type", "Split"},
                         {"pattern", Json::object({{"Regex", pattern}})},
                         {"behavior", "Isolated"},
                         {"invert", false}})
        .dump();
  };
  EXPECT_EQ(name_of(bytes), "gpt-2");
  EXPECT_EQ(name_of(sequence(R"({"type":"Digits","individual_digits":true},)" + bytes)), "smollm");
  EXPECT_EQ(name_of(sequence(R"({"type":"Punctuation","behavior":"Contiguous"},)" + bytes + "," +
                             R"({"type":"Digits","individual_digits":false},)" +
                             split("[0-9][0-9][0-9]"))),
            "falcon");
  // Every row that is built of splits is recognised as itself, or as a row with the same patterns.
  for (const PreTokenizerRow& row : pre_tokenizer_table()) {
    std::string parts;
    for (const std::string_view pattern : row.patterns) parts += split(std::string(pattern)) + ",";
    const PreTokenizerRow* found = find_pre_tokenizer(name_of(sequence(parts + only_bytes)));
    ASSERT_NE(found, nullptr) << row.name;
    EXPECT_TRUE(found->patterns == row.patterns || found->name == row.name) << row.name;
  }
}

TEST(TokenizerJson, AnUnnamedPreTokenizerRunsButHasNoGgufName) {
  const auto spec =
      parse_tokenizer_json(with("pre_tokenizer", R"({"type":"Sequence","pretokenizers":[
        {"type":"Split","pattern":{"Regex":"[a]"},"behavior":"Isolated","invert":false},
        {"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]})"),
                           "t");
  ASSERT_TRUE(spec.has_value());
  EXPECT_EQ(spec->pre_tokenizer, "");
  const auto tokenizer = tokenizer_of(*spec);
  ASSERT_NE(tokenizer, nullptr);
  EXPECT_EQ(tokenizer->encode("abc", true), (std::vector<std::int32_t>{0, 7}));
  Metadata metadata;
  const auto written = write_tokenizer_gguf(*spec, metadata);
  ASSERT_FALSE(written.has_value());
  EXPECT_EQ(written.error().code, ErrorCode::kUnsupported);
  EXPECT_TRUE(metadata.entries().empty());
}

TEST(TokenizerJson, PostProcessorSaysWhatIsAddedAround) {
  const auto spec = parse_tokenizer_json(
      with("post_processor", R"({"type":"Sequence","processors":[{"type":"ByteLevel"},
        {"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<|end|>","type_id":0}},
          {"Sequence":{"id":"A","type_id":0}}],"pair":[],"special_tokens":{}}]})"),
      "t");
  ASSERT_TRUE(spec.has_value());
  EXPECT_TRUE(spec->add_bos);
  EXPECT_EQ(spec->bos_id, 9);
  EXPECT_FALSE(spec->add_eos);
}

TEST(TokenizerJson, RefusesWhatContradictsTheFormat) {
  const auto corrupt_at = [](const Json& document, std::string_view place) {
    const Error error = error_of(document);
    EXPECT_EQ(error.code, ErrorCode::kCorrupt) << error.message();
    EXPECT_NE(error.tensor.find(place), std::string::npos) << error.message();
  };
  corrupt_at(Json::array(), "model");
  corrupt_at(with("model", "7"), "model");
  corrupt_at(with_model("vocab", "[]"), "model.vocab");
  corrupt_at(with_model("vocab", "{}"), "model.vocab");
  corrupt_at(with_model("vocab", R"({"a": "0"})"), "model.vocab");
  corrupt_at(with_model("vocab", R"({"a": -1})"), "model.vocab");
  corrupt_at(with_model("vocab", R"({"a": 1000000000000})"), "model.vocab");
  corrupt_at(with_model("vocab", R"({"a": 0, "b": 0})"), "model.vocab");
  corrupt_at(with_model("merges", R"("a b")"), "model.merges");
  corrupt_at(with_model("merges", R"([["a"]])"), "model.merges[0]");
  corrupt_at(with_model("merges", R"([["a", 1]])"), "model.merges[0]");
  corrupt_at(with_model("merges", R"(["a b", ["a b", "c"]])"), "model.merges[1]");
  corrupt_at(with_model("merges", R"(["ab"])"), "merges[0]");
  corrupt_at(with_model("merges", R"(["a b", "a z"])"), "merges[1]");
  corrupt_at(with_model("merges", R"(["c c"])"), "merges[0]");  // "cc" is no token
  corrupt_at(with_model("merges", R"([""])"), "merges[0]");
  corrupt_at(with_model("unk_token", R"("<unk>")"), "model.unk_token");
  corrupt_at(with("added_tokens", R"({"a":1})"), "added_tokens");
  corrupt_at(with("added_tokens", R"([{"id": 0, "content": "z"}])"), "added_tokens[0]");
  corrupt_at(with("added_tokens", R"([{"content": "z"}])"), "added_tokens[0]");
  corrupt_at(with("added_tokens", R"([{"id": 11, "content": ""}])"), "added_tokens[0]");
  corrupt_at(with("added_tokens", R"([{"id": 11, "content": "a"}])"), "token 11");
}

TEST(TokenizerJson, RefusesWhatItCannotRunByName) {
  const auto unsupported_part = [](const Json& document, std::string_view found) {
    const Error error = error_of(document);
    EXPECT_EQ(error.code, ErrorCode::kUnsupported) << error.message();
    EXPECT_NE(error.found.find(found), std::string::npos) << error.message();
  };
  unsupported_part(with_model("type", R"("Unigram")"), "Unigram");
  unsupported_part(with_model("end_of_word_suffix", R"("</w>")"), "affixes");
  unsupported_part(with("normalizer", R"({"type":"Lowercase"})"), "Lowercase");
  unsupported_part(with("pre_tokenizer", R"({"type":"BertPreTokenizer"})"), "BertPreTokenizer");
  unsupported_part(with("pre_tokenizer", "null"), "null");
  unsupported_part(with("pre_tokenizer", R"({"type":"Sequence","pretokenizers":[
      {"type":"Split","pattern":{"Regex":"(("},"behavior":"Isolated","invert":false},
      {"type":"ByteLevel","use_regex":false}]})"),
                   "((");
  std::string nested = R"({"type":"ByteLevel"})";
  for (int depth = 0; depth < 20; ++depth) {
    nested = R"({"type":"Sequence","pretokenizers":[)" + nested + "]}";
  }
  unsupported_part(with("pre_tokenizer", nested), "Sequence");
}

}  // namespace
}  // namespace quantlane
