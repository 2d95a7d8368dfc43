#include "core/json_members.h"

#include <array>

#include <gmock/gmock.h>

namespace quantlane {
namespace {

using testing::HasSubstr;

const Json kJson = Json::parse(R"({"true": true, "four": 4, "half": 0.5, "text": "x", "null": null,
    "list": ["a", "b"], "mixed": ["a", 1], "inner": {"deep": {"word": "b"}}})",
                               "test")
                       .value();

JsonMembers members() { return JsonMembers::of(kJson, "reading a test", "test.json").value(); }

TEST(JsonMembers, GiveTheValueOrTheFallbackWhenAbsentOrNull) {
  const JsonMembers m = members();
  EXPECT_EQ(m.boolean("true", false).value(), true);
  EXPECT_EQ(m.integer("four", 1).value(), 4);
  EXPECT_EQ(m.number("four", 1).value(), 4);
  EXPECT_EQ(m.number("half", 1).value(), 0.5);
  EXPECT_EQ(m.string("text", "y").value(), "x");
  EXPECT_EQ(m.word("text", "y", {"x", "y"}).value(), "x");
  EXPECT_THAT(m.strings("list").value(), testing::ElementsAre("a", "b"));
  for (const char* key : {"absent", "null"}) {
    EXPECT_FALSE(m.has(key));
    EXPECT_EQ(m.boolean(key, true).value(), true);
    EXPECT_EQ(m.integer_in(key, -9, 0, 5).value(), -9);
    EXPECT_EQ(m.number(key, 2.5).value(), 2.5);
    EXPECT_EQ(m.word(key, "fallback", {"x"}).value(), "fallback");
    EXPECT_TRUE(m.strings(key).value().empty());
    EXPECT_TRUE(m.object(key).value().json().members().empty());
  }
}

TEST(JsonMembers, AnotherTypeIsAnErrorAndNoFallback) {
  const JsonMembers m = members();
  for (const char* key : {"true", "four", "half", "text", "list", "inner"}) {
    const Json& value = kJson[key];
    EXPECT_EQ(m.boolean(key, false).has_value(), value.is_bool()) << key;
    EXPECT_EQ(m.integer(key, 0).has_value(), value.is_integer()) << key;
    EXPECT_EQ(m.number(key, 0).has_value(), value.is_number()) << key;
    EXPECT_EQ(m.string(key, "").has_value(), value.is_string()) << key;
    EXPECT_EQ(m.word(key, "", {"x"}).has_value(), value.is_string()) << key;
    EXPECT_EQ(m.strings(key).has_value(), value.is_array()) << key;
    EXPECT_EQ(m.object(key).has_value(), value.is_object()) << key;
  }
  EXPECT_FALSE(m.strings("mixed").has_value());
  EXPECT_FALSE(JsonMembers::of(Json(7), "reading a test", "test.json").has_value());
  EXPECT_TRUE(JsonMembers::of(Json(), "reading a test", "test.json").has_value());
}

TEST(JsonMembers, ErrorsNameFilePathExpectedFoundAndTheNextStep) {
  const JsonMembers deep = members().object("inner").value().object("deep").value();
  const Error error = deep.integer("word", 0).error();
  EXPECT_EQ(error.code, ErrorCode::kCorrupt);
  EXPECT_EQ(error.attempted, "reading a test");
  EXPECT_EQ(error.file, "test.json");
  EXPECT_EQ(error.tensor, "inner.deep.word");
  EXPECT_EQ(error.expected, "an integer");
  EXPECT_EQ(error.found, "\"b\"");
  EXPECT_THAT(error.hint, HasSubstr("remove the key"));
}

TEST(JsonMembers, ValuesOutsideRangeAndVocabularyAreRefused) {
  const JsonMembers m = members();
  EXPECT_EQ(m.integer_in("four", 0, 4, 4).value(), 4);
  for (const Error& error :
       {m.integer_in("four", 0, 5, 9).error(), m.integer_in("four", 0, 0, 3).error()}) {
    EXPECT_EQ(error.code, ErrorCode::kUnsupported);
    EXPECT_EQ(error.found, "4");
    EXPECT_THAT(error.hint, HasSubstr("correct the value"));
  }
  EXPECT_EQ(m.word("text", "", {"y", "z"}).error().expected, "one of \"y\", \"z\"");
  EXPECT_EQ(m.wrong("absent").found, "no such key");
}

TEST(JsonMembers, ATableSaysWhatKeysMayHold) {
  static constexpr JsonKind kInteger = {"an integer", [](const Json& v) { return v.is_integer(); }};
  static constexpr JsonKind kText = {"a string", [](const Json& v) { return v.is_string(); }};
  constexpr std::array kKeys = {JsonKey{"r", &kInteger, true}, JsonKey{"bias", &kText}};
  const auto members_of = [](const Json& json) { return JsonMembers::of(json, "", "").value(); };
  const Json good = Json::object({{"r", 1}, {"bias", nullptr}, {"z", 1}, {"a", 1}});
  EXPECT_TRUE(members_of(good).check(kKeys).has_value());
  EXPECT_THAT(members_of(good).others(kKeys), testing::ElementsAre("z", "a"));
  const Json typed = Json::object({{"r", 1}, {"bias", 2}});
  EXPECT_EQ(members_of(typed).check(kKeys).error().tensor, "bias");
  EXPECT_EQ(members_of(typed).check(kKeys).error().expected, "a string");
  const Json absent = Json::object({{"bias", "none"}});
  EXPECT_EQ(members_of(absent).check(kKeys).error().found, "no such key");
  const Json null = Json::object({{"r", nullptr}});
  EXPECT_EQ(members_of(null).check(kKeys).error().found, "null");
}

TEST(JsonMembers, LongValuesAreCutBetweenCharacters) {
  std::string umlauts;
  for (int i = 0; i < 200; ++i) umlauts += "\xC3\xBC";
  const Json json = Json::object({{"k", umlauts}});
  const Error error = JsonMembers::of(json, "", "").value().integer("k", 0).error();
  EXPECT_LT(error.found.size(), 130U);
  EXPECT_TRUE(
      Json::parse("\"" + error.found.substr(1, error.found.size() - 4) + "\"", "").has_value());
}

}  // namespace
}  // namespace quantlane
