#include "model/config_reader.h"

#include <limits>

#include <gmock/gmock.h>

namespace quantlane {
namespace {

using ::testing::HasSubstr;

Json object(std::string_view text) { return *Json::parse(text, "test"); }

TEST(ConfigReader, ReadsValuesAndFallbacks) {
  const Json json = object(R"({"n": 3, "x": 2.5, "whole": 4, "b": true, "s": "text", "no": null})");
  const ConfigReader reader(json, "config.json");
  EXPECT_EQ(reader.integer("n", {1, 10}).value(), 3);
  EXPECT_EQ(reader.integer("absent", {1, 10}, 7).value(), 7);
  EXPECT_EQ(reader.integer("no", {1, 10}, 7).value(), 7);
  EXPECT_EQ(reader.number("x", 0, 10).value(), 2.5);
  EXPECT_EQ(reader.number("whole", 0, 10).value(), 4);
  EXPECT_TRUE(reader.boolean("b", false).value());
  EXPECT_EQ(reader.string("s", "").value(), "text");
  EXPECT_EQ(reader.string("absent", "other").value(), "other");
}

TEST(ConfigReader, ErrorsSayNumbersThatJsonDoesNotHave) {
  Metadata metadata;
  metadata.set("a.x", std::numeric_limits<float>::quiet_NaN());
  metadata.set("a.y", -std::numeric_limits<float>::infinity());
  const Json json = metadata_object(metadata, "a.");
  const ConfigReader reader(json, "model.gguf");
  EXPECT_EQ(reader.number("x", 0, 1).error().found, "nan");
  EXPECT_EQ(reader.number("y", 0, 1).error().found, "-inf");
}

TEST(ConfigReader, ErrorsNameFileKeyExpectedAndFound) {
  const Json json = object(R"({"n": 3, "x": "wide", "rope": {"factor": -1}})");
  const ConfigReader reader(json, "some/config.json");
  const auto high = reader.integer("n", {4, 10});
  ASSERT_FALSE(high.has_value());
  EXPECT_EQ(high.error().code, ErrorCode::kCorrupt);
  EXPECT_THAT(high.error().message(), HasSubstr("some/config.json"));
  EXPECT_THAT(high.error().message(), HasSubstr("from 4 to 10"));
  EXPECT_EQ(high.error().tensor, "n");
  EXPECT_EQ(high.error().found, "3");
  EXPECT_EQ(reader.integer("x", {0, 1}).error().found, "\"wide\"");
  EXPECT_EQ(reader.number("x", 0, 1).error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(reader.integer("absent", {0, 1}).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(reader.nested("rope")->number("factor", 0, 1).error().tensor, "rope.factor");
  EXPECT_FALSE(reader.nested("n").has_value());
  EXPECT_FALSE(reader.boolean("n", false).has_value());
  EXPECT_FALSE(reader.string("n", "").has_value());
}

TEST(ConfigReader, ReadsMetadataByPrefix) {
  Metadata metadata;
  metadata.set("llama.block_count", std::uint32_t{5});
  metadata.set("llama.big", std::uint64_t{1} << 63);
  metadata.set("llama.flags", std::vector<bool>{true, false});
  metadata.set("general.name", std::string("other"));
  const Json json = metadata_object(metadata, "llama.");
  const ConfigReader reader(json, "x.gguf", "llama.");
  EXPECT_EQ(reader.integer("block_count", {1, 10}).value(), 5);
  EXPECT_EQ(reader.integer("big", {1, 10}).error().tensor, "llama.big");
  EXPECT_EQ(json["flags"].items().size(), 2U);
  EXPECT_FALSE(json.contains("general.name"));
}

}  // namespace
}  // namespace quantlane
