#include "core/json.h"

#include <gtest/gtest.h>

namespace quantlane {
namespace {

TEST(Json, DumpOfParseIsTheSameText) {
  const std::string text = R"({"a":1,"b":[true,null,-2.5,"x\n\"y"],"c":{"d":{}}})";
  const auto json = Json::parse(text, "test");
  ASSERT_TRUE(json);
  EXPECT_EQ(json->dump(), text);
}

TEST(Json, RefusesDuplicateKeysDepthTrailingTextAndBadUtf8) {
  EXPECT_FALSE(Json::parse(R"({"a":1,"a":2})", "test"));
  EXPECT_FALSE(Json::parse(std::string(100, '[') + std::string(100, ']'), "test"));
  EXPECT_FALSE(Json::parse("{} {}", "test"));
  EXPECT_FALSE(Json::parse("\"\xC3\x28\"", "test"));
  EXPECT_FALSE(Json::parse("", "test"));
}

TEST(Json, KeepsInt64AndWidensBeyondIt) {
  const auto json = Json::parse("[9223372036854775807,18446744073709551615]", "test");
  ASSERT_TRUE(json);
  EXPECT_EQ(json->items()[0].integer(), INT64_MAX);
  EXPECT_FALSE(json->items()[1].is_integer());
}

TEST(Json, SetReplacesInPlace) {
  Json json = Json::object({{"a", 1}, {"b", 2}});
  json.set("a", "x");
  EXPECT_EQ(json.dump(), R"({"a":"x","b":2})");
}

}  // namespace
}  // namespace quantlane
