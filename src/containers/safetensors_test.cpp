#include "containers/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "containers/container_test_files.h"

namespace quantlane {
namespace {

using test::committed;
using test::FolderTest;
using test::safetensors_bytes;
using testing::ElementsAre;
using testing::HasSubstr;

class SafetensorsFolder : public FolderTest {
 protected:
  // One f32 per tensor name.
  fs::path put_shard(const std::string& file, const std::vector<std::string>& names) const {
    std::string header = "{";
    for (std::size_t i = 0; i < names.size(); ++i) {
      header += (i > 0 ? ",\"" : "\"") + names[i] +
                R"(":{"dtype":"F32","shape":[1],"data_offsets":[)" + std::to_string(4 * i) + "," +
                std::to_string(4 * i + 4) + "]}";
    }
    return put(file, safetensors_bytes(header + "}", std::string(4 * names.size(), 'x')));
  }
  fs::path put_index(const std::vector<std::pair<std::string, std::string>>& map) const {
    std::string text = R"({"metadata":{"total_size":8},"weight_map":{)";
    for (std::size_t i = 0; i < map.size(); ++i) {
      text += (i > 0 ? ",\"" : "\"") + map[i].first + "\":\"" + map[i].second + "\"";
    }
    return put("model.safetensors.index.json", text + "}}");
  }
  [[nodiscard]] Error refused() const {
    auto opened = open_container(folder_);
    EXPECT_FALSE(opened.has_value());
    return opened.has_value() ? Error{} : std::move(opened).error();
  }
};

// The six values -3..2 (or their bytes as unsigned), one file per dtype and one with all.
TEST(Safetensors, ReadsSamplesOfTheReferenceImplementation) {
  const auto opened = open_container(committed("safetensors/8f5b01_overall.safetensors"));
  ASSERT_TRUE(opened.has_value()) << opened.error().message();
  const Container& container = **opened;
  ASSERT_EQ(container.tensors().size(), 9U);
  EXPECT_EQ(*container.metadata().string("test"), "a");
  const std::pair<const char*, DType> dtypes[] = {
      {"B", DType::kU8},  {"H", DType::kU16}, {"I", DType::kU32},
      {"b", DType::kI8},  {"d", DType::kF64}, {"e", DType::kF16},
      {"f", DType::kF32}, {"h", DType::kI16}, {"i", DType::kI32}};
  for (const auto& [name, dtype] : dtypes) {
    const TensorInfo* tensor = container.find(name);
    ASSERT_NE(tensor, nullptr) << name;
    EXPECT_EQ(tensor->type.plain, dtype) << name;
    EXPECT_THAT(tensor->shape, ElementsAre(6)) << name;
    std::vector<float> values(6);
    decode_plain(dtype, container.bytes(*tensor).data(), 6, values.data());
    if (name != std::string("B") && name != std::string("H") && name != std::string("I")) {
      EXPECT_THAT(values, ElementsAre(-3, -2, -1, 0, 1, 2)) << name;
    } else {
      EXPECT_THAT(std::span(values).last(3), ElementsAre(0, 1, 2)) << name;
    }
  }
}

TEST(Safetensors, ReadsEverySampleFile) {
  int count = 0;
  for (const auto& entry : fs::directory_iterator(committed("safetensors"))) {
    if (entry.path().filename().string().starts_with("invalid")) continue;
    const auto opened = open_container(entry.path());
    EXPECT_TRUE(opened.has_value()) << entry.path();
    ++count;
  }
  EXPECT_EQ(count, 12);
}

TEST(Safetensors, ReadsFourDimensionsRowMajor) {
  const auto opened = open_container(committed("safetensors/four_dims_f32.safetensors"));
  ASSERT_TRUE(opened.has_value());
  const TensorInfo* tensor = (*opened)->find("embedding");
  ASSERT_NE(tensor, nullptr);
  EXPECT_THAT(tensor->shape, ElementsAre(2, 3, 1, 3));
  EXPECT_EQ(tensor->rows(), 6);
  std::vector<float> values(18);
  ASSERT_TRUE(decode_rows(**opened, *tensor, 0, 6, values.data()).has_value());
  EXPECT_THAT(std::span(values).first(6), ElementsAre(11, 12, 13, 1, 2, 3));
}

TEST(Safetensors, RefusesTheHeaderLengthAttack) {
  const auto opened = open_container(committed("safetensors/invalid_header_length.safetensors"));
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(opened.error().found, "1000");
}

TEST(Safetensors, TakesNullForNoMetadata) {
  const std::string bytes = test::safetensors_bytes(
      R"({"__metadata__":null,"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x");
  const auto parsed = parse_safetensors(test::bytes_of(bytes), "null");
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message();
  EXPECT_EQ(parsed->tensors.size(), 1U);
  EXPECT_TRUE(parsed->metadata.entries().empty());
}

TEST(Safetensors, OpensWhatOtherQuantizersWrite) {
  const fs::path folder = test::shared_formats() / "hf-quantized";
  if (!fs::exists(folder)) GTEST_SKIP() << folder << " is absent";
  int count = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const fs::path packed = entry.path() / "model.safetensors.xz";
    if (!fs::exists(packed)) continue;
    const std::string bytes = test::unpack(packed);
    const auto parsed = parse_safetensors(test::bytes_of(bytes), packed.string());
    ASSERT_TRUE(parsed.has_value()) << parsed.error().message();
    EXPECT_GT(parsed->tensors.size(), 10U);
    const std::string* format = parsed->metadata.string("format");
    EXPECT_TRUE(format == nullptr || *format == "pt") << packed;
    ++count;
  }
  EXPECT_GE(count, 20);
}

TEST_F(SafetensorsFolder, PrefersModelSafetensors) {
  static_cast<void>(put_shard("model.safetensors", {"a"}));
  static_cast<void>(put_shard("adapter_model.safetensors", {"b"}));
  const auto opened = open_container(folder_);
  ASSERT_TRUE(opened.has_value());
  EXPECT_EQ((*opened)->tensors().size(), 1U);
  EXPECT_NE((*opened)->find("a"), nullptr);
  EXPECT_EQ((*opened)->find("b"), nullptr);
}

TEST_F(SafetensorsFolder, JoinsTheShardsOfAnIndex) {
  static_cast<void>(put_shard("m-1.safetensors", {"a", "b"}));
  static_cast<void>(put_shard("m-2.safetensors", {"c"}));
  const fs::path index =
      put_index({{"c", "m-2.safetensors"}, {"a", "m-1.safetensors"}, {"b", "m-1.safetensors"}});
  static_cast<void>(put_shard("consolidated.safetensors", {"a"}));
  for (const fs::path& path : {folder_, index}) {
    const auto opened = open_container(path);
    ASSERT_TRUE(opened.has_value()) << opened.error().message();
    EXPECT_EQ((*opened)->tensors().size(), 3U);
    ASSERT_EQ((*opened)->files().size(), 2U);
    EXPECT_THAT((*opened)->files()[(*opened)->find("c")->shard], HasSubstr("m-2"));
    EXPECT_EQ((*opened)->bytes(*(*opened)->find("c")).size(), 4U);
  }
}

TEST_F(SafetensorsFolder, RefusesAMissingShardByName) {
  static_cast<void>(put_shard("m-1.safetensors", {"a"}));
  static_cast<void>(put_index({{"a", "m-1.safetensors"}, {"b", "m-2.safetensors"}}));
  const Error error = refused();
  EXPECT_EQ(error.code, ErrorCode::kNotFound);
  EXPECT_THAT(error.file, HasSubstr("m-2.safetensors"));
}

TEST_F(SafetensorsFolder, RefusesATensorThatTheShardLacks) {
  static_cast<void>(put_shard("m-1.safetensors", {"a"}));
  static_cast<void>(put_index({{"a", "m-1.safetensors"}, {"b", "m-1.safetensors"}}));
  EXPECT_EQ(refused().tensor, "b");
}

TEST_F(SafetensorsFolder, RefusesATensorInAnotherShard) {
  static_cast<void>(put_shard("m-1.safetensors", {"a", "b"}));
  static_cast<void>(put_shard("m-2.safetensors", {"c"}));
  static_cast<void>(
      put_index({{"a", "m-1.safetensors"}, {"b", "m-2.safetensors"}, {"c", "m-2.safetensors"}}));
  const Error error = refused();
  EXPECT_EQ(error.tensor, "b");
  EXPECT_THAT(error.found, HasSubstr("m-1.safetensors"));
}

TEST_F(SafetensorsFolder, RefusesATensorThatTheIndexLacks) {
  static_cast<void>(put_shard("m-1.safetensors", {"a", "extra"}));
  static_cast<void>(put_index({{"a", "m-1.safetensors"}}));
  EXPECT_EQ(refused().tensor, "extra");
}

TEST_F(SafetensorsFolder, RefusesOneNameInTwoShards) {
  static_cast<void>(put_shard("m-1.safetensors", {"a"}));
  static_cast<void>(put_shard("m-2.safetensors", {"b", "a"}));
  static_cast<void>(put_index({{"a", "m-1.safetensors"}, {"b", "m-2.safetensors"}}));
  EXPECT_EQ(refused().tensor, "a");
}

TEST_F(SafetensorsFolder, RefusesAnIndexThatLeavesTheFolder) {
  for (const char* name : {"../secret.safetensors", "/etc/passwd", "", "..", "sub/m.safetensors"}) {
    static_cast<void>(put_index({{"a", name}}));
    const Error error = refused();
    EXPECT_EQ(error.code, ErrorCode::kCorrupt) << name;
    EXPECT_EQ(error.tensor, "a") << name;
  }
}

TEST_F(SafetensorsFolder, RefusesAnIndexWithoutMap) {
  for (const char* text : {"[]", "{}", R"({"weight_map":[]})", R"({"weight_map":{}})",
                           R"({"weight_map":{"a":1}})", "not json"}) {
    static_cast<void>(put("model.safetensors.index.json", text));
    EXPECT_EQ(refused().code, ErrorCode::kCorrupt) << text;
  }
}

TEST_F(SafetensorsFolder, RefusesTwoCheckpointsInOneFolder) {
  static_cast<void>(put_shard("model.safetensors", {"a"}));
  static_cast<void>(put_shard("m-1.safetensors", {"a"}));
  static_cast<void>(put_index({{"a", "m-1.safetensors"}}));
  EXPECT_EQ(refused().code, ErrorCode::kInvalidArgument);
}

TEST_F(SafetensorsFolder, OpensShardsWithoutIndexWhenComplete) {
  static_cast<void>(put_shard("m-00001-of-00002.safetensors", {"a"}));
  const Error error = refused();
  EXPECT_EQ(error.code, ErrorCode::kNotFound);
  EXPECT_THAT(error.expected, HasSubstr("2 files"));
  static_cast<void>(put_shard("m-00002-of-00002.safetensors", {"b"}));
  const auto opened = open_container(folder_);
  ASSERT_TRUE(opened.has_value());
  EXPECT_EQ((*opened)->tensors().size(), 2U);
}

TEST_F(SafetensorsFolder, RefusesSeveralFilesThatShareNames) {
  static_cast<void>(put_shard("one.safetensors", {"a"}));
  static_cast<void>(put_shard("two.safetensors", {"a"}));
  EXPECT_EQ(refused().tensor, "a");
}

}  // namespace
}  // namespace quantlane
