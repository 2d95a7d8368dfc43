#include "containers/dialects/module_patterns.h"

#include <gtest/gtest.h>

namespace quantlane {
namespace {

ModulePatterns patterns(const char* list, PatternStyle style) {
  const Json json = Json::object({{"list", Json::parse(list, "test").value()}});
  const JsonMembers config = JsonMembers::of(json, "reading a test", "test.json").value();
  return ModulePatterns::read(config, "list", style).value();
}

TEST(ModulePatterns, TargetsMatchPathsExpressionsAndClasses) {
  const auto list = patterns(R"(["model.a", "re:.*gate$", "Linear"])", PatternStyle::kTargets);
  EXPECT_EQ(list.match("model.a"), PatternMatch::kPath);
  EXPECT_EQ(list.match("x.gate"), PatternMatch::kExpression);
  EXPECT_EQ(list.match("x.gate_proj"), PatternMatch::kClass);
  const auto without = patterns(R"(["model.a", "re:layers\\.1\\."])", PatternStyle::kTargets);
  EXPECT_FALSE(without.matches("model.a.b"));
  EXPECT_FALSE(without.matches("model.layers.1.q"));  // anchored at the start
  EXPECT_TRUE(without.matches("layers.1.q"));
}

TEST(ModulePatterns, SubstringsMatchAnywhere) {
  const auto list = patterns(R"(["visual", ""])", PatternStyle::kSubstrings);
  EXPECT_TRUE(list.matches("model.visual.q"));
  EXPECT_FALSE(list.matches("model.q"));
  EXPECT_FALSE(patterns("null", PatternStyle::kSubstrings).matches("model.q"));
}

// Python's fnmatch gives these.
TEST(ModulePatterns, GlobsMatchTheWholePath) {
  const auto list = patterns(
      R"(["lm_head", "model.layers.0*", "*.mlp.gate", "a?c", "b[0-9]", "c[!0]", "d[", "e.f", "g[]]"])",
      PatternStyle::kGlobs);
  for (const char* match : {"lm_head", "model.layers.0", "model.layers.0.q", "x.y.mlp.gate", "abc",
                            "b7", "c1", "d[", "e.f", "g]"}) {
    EXPECT_TRUE(list.matches(match)) << match;
  }
  for (const char* none : {"lm_head.x", "x.lm_head", "model.layers.1", "mlp.gate",
                           "x.mlp.gate_proj", "ac", "b", "bx", "c0", "d", "exf", "lm_head\n"}) {
    EXPECT_FALSE(list.matches(none)) << none;
  }
}

TEST(ModulePatterns, BadExpressionsAreErrors) {
  for (const auto& [item, style] :
       {std::pair<std::string_view, PatternStyle>{"re:(", PatternStyle::kTargets},
        {"[z-a]", PatternStyle::kGlobs}}) {
    EXPECT_FALSE(ModulePatterns::of({&item, 1}, style).has_value()) << item;
  }
}

TEST(ModulePatterns, WhatIsNoListOfPatternsIsNamed) {
  for (const char* list : {R"("lm_head")", "7", "{}", "[7]", "[null]", R"(["re:("])"}) {
    const Json json = Json::object({{"list", Json::parse(list, "test").value()}});
    const JsonMembers config = JsonMembers::of(json, "reading a test", "test.json").value();
    const auto read = ModulePatterns::read(config, "list", PatternStyle::kTargets);
    ASSERT_FALSE(read.has_value()) << list;
    EXPECT_EQ(read.error().tensor, "list") << list;
    EXPECT_FALSE(read.error().expected.empty() || read.error().found.empty()) << list;
  }
}

// "gate" keeps routers and not gate_proj.
TEST(ModulePatterns, PartsAreWholePartsOfThePath) {
  const std::vector<std::string_view> list = {"gate", "layers.3", "lm_head", ""};
  const auto patterns = ModulePatterns::of(list, PatternStyle::kParts);
  ASSERT_TRUE(patterns.has_value());
  for (const char* module : {"model.layers.0.mlp.gate", "gate", "model.layers.3.mlp.up_proj",
                             "lm_head", "model.layers.3"}) {
    EXPECT_TRUE(patterns->matches(module)) << module;
  }
  for (const char* module : {"model.layers.0.mlp.gate_proj", "model.layers.30.mlp.up_proj",
                             "model.layers.0.mlp.up_gate", "model.lm_head2"}) {
    EXPECT_FALSE(patterns->matches(module)) << module;
  }
}

}  // namespace
}  // namespace quantlane
