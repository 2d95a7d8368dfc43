#include "containers/metadata.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace quantlane {
namespace {

using testing::ElementsAre;
using testing::Optional;

TEST(Metadata, SetReplacesInPlaceAndEraseRemoves) {
  Metadata metadata;
  metadata.set("a", std::uint32_t{1});
  metadata.set("b", std::string("text"));
  metadata.set("a", std::uint32_t{2});
  ASSERT_EQ(metadata.entries().size(), 2U);
  EXPECT_EQ(metadata.entries()[0].first, "a");
  EXPECT_THAT(metadata.integer("a"), Optional(2));
  metadata.erase("a");
  EXPECT_EQ(metadata.find("a"), nullptr);
  EXPECT_EQ(metadata.entries().size(), 1U);
}

TEST(Metadata, IntegersOfEveryWidthConvert) {
  Metadata metadata;
  metadata.set("u8", std::uint8_t{200});
  metadata.set("i8", std::int8_t{-100});
  metadata.set("u16", std::uint16_t{60000});
  metadata.set("i16", std::int16_t{-30000});
  metadata.set("u32", std::uint32_t{4000000000});
  metadata.set("i32", std::int32_t{-2000000000});
  metadata.set("u64", std::uint64_t{1} << 62);
  metadata.set("i64", std::int64_t{-5});
  metadata.set("f32", 3.0F);
  EXPECT_THAT(metadata.integer("u8"), Optional(200));
  EXPECT_THAT(metadata.integer("i8"), Optional(-100));
  EXPECT_THAT(metadata.integer("u16"), Optional(60000));
  EXPECT_THAT(metadata.integer("i16"), Optional(-30000));
  EXPECT_THAT(metadata.integer("u32"), Optional(4000000000));
  EXPECT_THAT(metadata.integer("i32"), Optional(-2000000000));
  EXPECT_THAT(metadata.integer("u64"), Optional(std::int64_t{1} << 62));
  EXPECT_THAT(metadata.integer("i64"), Optional(-5));
  EXPECT_THAT(metadata.integer("f32"), Optional(3));
  EXPECT_THAT(metadata.number("i16"), Optional(-30000.0));
}

TEST(Metadata, WhatDoesNotConvertIsAbsent) {
  Metadata metadata;
  metadata.set("huge", ~std::uint64_t{0});
  metadata.set("half", 0.5);
  metadata.set("nan", std::numeric_limits<double>::quiet_NaN());
  metadata.set("flag", true);
  metadata.set("text", std::string("1"));
  metadata.set("list", std::vector<std::string>{"x"});
  for (const char* key : {"huge", "half", "nan", "flag", "text", "list", "missing"}) {
    EXPECT_FALSE(metadata.integer(key).has_value()) << key;
  }
  EXPECT_FALSE(metadata.number("text").has_value());
  EXPECT_FALSE(metadata.number("flag").has_value());
  EXPECT_THAT(metadata.number("half"), Optional(0.5));
  EXPECT_THAT(metadata.boolean("flag"), Optional(true));
  EXPECT_FALSE(metadata.boolean("half").has_value());
  EXPECT_FALSE(metadata.integers("text").has_value());
  EXPECT_FALSE(metadata.integers("list").has_value());
  EXPECT_EQ(metadata.string("list"), nullptr);
  EXPECT_EQ(metadata.floats("list"), nullptr);
  EXPECT_EQ(metadata.strings("text"), nullptr);
  EXPECT_EQ(metadata.string("missing"), nullptr);
}

TEST(Metadata, IntegerArraysWiden) {
  Metadata metadata;
  metadata.set("u8", std::vector<std::uint8_t>{0, 255});
  metadata.set("i32", std::vector<std::int32_t>{-1, 2});
  metadata.set("u64", std::vector<std::uint64_t>{~std::uint64_t{0}});
  metadata.set("bool", std::vector<bool>{true});
  metadata.set("f32", std::vector<float>{1.0F});
  EXPECT_THAT(metadata.integers("u8"), Optional(ElementsAre(0, 255)));
  EXPECT_THAT(metadata.integers("i32"), Optional(ElementsAre(-1, 2)));
  EXPECT_FALSE(metadata.integers("u64").has_value());
  EXPECT_FALSE(metadata.integers("bool").has_value());
  EXPECT_FALSE(metadata.integers("f32").has_value());
  ASSERT_NE(metadata.floats("f32"), nullptr);
  EXPECT_THAT(*metadata.floats("f32"), ElementsAre(1.0F));
}

}  // namespace
}  // namespace quantlane
