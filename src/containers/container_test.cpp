#include "containers/container.h"

#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "containers/container_test_files.h"

namespace quantlane {
namespace {

using test::committed;
using test::FolderTest;
using testing::ElementsAre;
using testing::HasSubstr;

class OpenContainer : public FolderTest {};
class DecodeRows : public FolderTest {};

TEST_F(OpenContainer, SniffsBothKindsAndIgnoresTheExtensionOfGguf) {
  const auto safetensors = open_container(committed("safetensors/four_dims_f32.safetensors"));
  ASSERT_TRUE(safetensors.has_value());
  EXPECT_EQ((*safetensors)->kind(), "safetensors");
  const auto gguf = open_container(committed("gguf/empty.gguf"));
  ASSERT_TRUE(gguf.has_value());
  EXPECT_EQ((*gguf)->kind(), "gguf");
  const auto blob = open_container(put("sha256-0123", test::small_gguf().bytes()));
  ASSERT_TRUE(blob.has_value());
  EXPECT_EQ((*blob)->kind(), "gguf");
  const auto unnamed = open_container(put("weights", test::safetensors_bytes("{}", "")));
  ASSERT_TRUE(unnamed.has_value());
  EXPECT_EQ((*unnamed)->kind(), "safetensors");
}

TEST_F(OpenContainer, SaysWhatWasLookedFor) {
  const auto missing = open_container(folder_ / "absent");
  ASSERT_FALSE(missing.has_value());
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(missing.error().file, HasSubstr("absent"));

  const auto empty = open_container(folder_);
  ASSERT_FALSE(empty.has_value());
  EXPECT_EQ(empty.error().code, ErrorCode::kUnsupported);
  EXPECT_THAT(empty.error().expected, HasSubstr("model.safetensors.index.json"));
  EXPECT_THAT(empty.error().expected, HasSubstr("GGUF"));

  static_cast<void>(put("pytorch_model.bin", "PK"));
  EXPECT_THAT(open_container(folder_).error().hint, HasSubstr("pytorch_model.bin"));
  const auto text = open_container(put("notes.txt", "hello, this is text"));
  ASSERT_FALSE(text.has_value());
  EXPECT_EQ(text.error().code, ErrorCode::kUnsupported);
}

TEST_F(OpenContainer, WeightsThatAreNoFileAreSaidToBeThere) {
  const fs::path weights = folder_ / "model.safetensors";
  fs::create_symlink("model.safetensors", weights);
  for (const fs::path& path : {folder_, weights}) {
    const auto opened = open_container(path);
    ASSERT_FALSE(opened.has_value());
    EXPECT_THAT(opened.error().found, HasSubstr("a link to model.safetensors"));
    EXPECT_FALSE(opened.error().hint.empty());
  }
  fs::remove(weights);
  ASSERT_EQ(::mkfifo(weights.c_str(), 0600), 0);
  const auto opened = open_container(folder_);
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().found, "a pipe");
  EXPECT_EQ(opened.error().file, weights.string());
}

TEST_F(OpenContainer, PointsToAGgufInAFolder) {
  static_cast<void>(put("model-q4.gguf", test::small_gguf().bytes()));
  const auto opened = open_container(folder_);
  ASSERT_FALSE(opened.has_value());
  EXPECT_THAT(opened.error().hint, HasSubstr("model-q4.gguf"));
}

TEST_F(DecodeRows, GivesTheAskedRowsFromAnyThread) {
  const auto opened = open_container(put("a.gguf", test::small_gguf().bytes()));
  ASSERT_TRUE(opened.has_value());
  const TensorInfo* tensor = (*opened)->find("a");
  ASSERT_NE(tensor, nullptr);
  EXPECT_THAT(tensor->shape, ElementsAre(2, 3));
  EXPECT_EQ(tensor->rows(), 2);
  EXPECT_EQ(tensor->cols(), 3);
  EXPECT_EQ(tensor->element_count(), 6);
  std::vector<float> values(6);
  std::vector<std::jthread> threads;
  for (int row = 0; row < 2; ++row) {
    threads.emplace_back([&, row] {
      EXPECT_TRUE(decode_rows(**opened, *tensor, row, 1, values.data() + 3 * row).has_value());
    });
  }
  threads.clear();
  EXPECT_THAT(values, ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_TRUE(decode_rows(**opened, *tensor, 2, 0, values.data()).has_value());
}

TEST_F(DecodeRows, RefusesRowsOutsideTheTensor) {
  const auto opened = open_container(put("a.gguf", test::small_gguf().bytes()));
  ASSERT_TRUE(opened.has_value());
  const TensorInfo& tensor = *(*opened)->find("a");
  std::vector<float> values(64);
  const std::pair<std::int64_t, std::int64_t> ranges[] = {
      {-1, 1}, {0, 3}, {2, 1}, {0, -1}, {1, std::numeric_limits<std::int64_t>::max()}};
  for (const auto& [begin, count] : ranges) {
    const auto decoded = decode_rows(**opened, tensor, begin, count, values.data());
    ASSERT_FALSE(decoded.has_value()) << begin << " " << count;
    EXPECT_EQ(decoded.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(decoded.error().tensor, "a");
  }
}

TEST_F(DecodeRows, RefusesIntegers) {
  const auto opened = open_container(committed("safetensors/8f5b01_overall.safetensors"));
  ASSERT_TRUE(opened.has_value());
  float values[6];
  const auto decoded = decode_rows(**opened, *(*opened)->find("i"), 0, 1, values);
  ASSERT_FALSE(decoded.has_value());
  EXPECT_EQ(decoded.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(decoded.error().found, "i32");
}

TEST_F(DecodeRows, DroppedPagesReadTheSameAgain) {
  std::vector<float> values(1 << 16);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  const auto bytes = test::bytes_of(values);
  const std::string header = R"({"w":{"dtype":"F32","shape":[256,256],"data_offsets":[0,262144]}})";
  const auto opened = open_container(put(
      "w.safetensors", test::safetensors_bytes(
                           header, {reinterpret_cast<const char*>(bytes.data()), bytes.size()})));
  ASSERT_TRUE(opened.has_value());
  const TensorInfo& tensor = *(*opened)->find("w");
  std::vector<float> first(256);
  std::vector<float> again(256);
  ASSERT_TRUE(decode_rows(**opened, tensor, 100, 1, first.data()).has_value());
  (*opened)->drop(tensor);
  (*opened)->drop(tensor, 100 * 1024, 1024);
  ASSERT_TRUE(decode_rows(**opened, tensor, 100, 1, again.data()).has_value());
  EXPECT_EQ(first, again);
  EXPECT_EQ(again[5], 25605.0F);
}

TEST(ContainerKinds, HaveDistinctNamesAndFunctions) {
  std::vector<std::string_view> names;
  for (const ContainerKind* kind : container_kinds()) {
    EXPECT_NE(kind->recognises, nullptr);
    EXPECT_NE(kind->open, nullptr);
    names.push_back(kind->name);
  }
  EXPECT_THAT(names, ElementsAre("gguf", "safetensors"));
}

}  // namespace
}  // namespace quantlane
