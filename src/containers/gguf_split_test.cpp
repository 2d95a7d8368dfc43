#include <optional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "containers/container_test_files.h"
#include "containers/gguf.h"
#include "core/hash.h"
#include "core/json.h"

namespace quantlane {
namespace {

using test::FolderTest;
using test::GgufBytes;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::uint32_t kUint16 = 2;
constexpr std::uint32_t kInt32 = 5;

struct ShardText {
  std::uint16_t no = 0;
  std::uint16_t count = 2;
  std::optional<std::int32_t> total = 3;
  std::vector<std::string> tensors;
};

std::string shard_bytes(const ShardText& shard) {
  const std::uint64_t keys = 3U + (shard.total ? 1U : 0U);
  GgufBytes file(shard.tensors.size(), keys);
  file.key("general.name", "shard " + std::to_string(shard.no));
  file.key("split.no", kUint16, shard.no).key("split.count", kUint16, shard.count);
  if (shard.total) file.key("split.tensors.count", kInt32, *shard.total);
  for (std::size_t i = 0; i < shard.tensors.size(); ++i) {
    file.info(shard.tensors[i], {2}, GgufBytes::kF32, 32 * i);
  }
  file.pad();
  for (std::size_t i = 0; i < shard.tensors.size(); ++i) {
    file.text(test::raw(static_cast<float>(shard.no)) + test::raw(static_cast<float>(i))).pad();
  }
  return file.bytes();
}

class GgufSplit : public FolderTest {
 protected:
  fs::path put_shard(const std::string& name, const ShardText& shard) const {
    return put(name, shard_bytes(shard));
  }
  // Opens the pair; the first shard has tensors a and b.
  [[nodiscard]] Error refused(const ShardText& second) const {
    const fs::path first = put_shard("m-00001-of-00002.gguf", {.tensors = {"a", "b"}});
    static_cast<void>(put_shard("m-00002-of-00002.gguf", second));
    auto opened = open_container(first);
    EXPECT_FALSE(opened.has_value());
    return opened.has_value() ? Error{} : std::move(opened).error();
  }
};

TEST_F(GgufSplit, OpensAllShardsThroughTheFirst) {
  const fs::path first = put_shard("m-00001-of-00002.gguf", {.tensors = {"a", "b"}});
  static_cast<void>(
      put_shard("m-00002-of-00002.gguf", {.no = 1, .total = std::nullopt, .tensors = {"c"}}));
  const auto opened = open_container(first);
  ASSERT_TRUE(opened.has_value()) << opened.error().message();
  EXPECT_EQ((*opened)->tensors().size(), 3U);
  EXPECT_EQ((*opened)->files().size(), 2U);
  const TensorInfo* tensor = (*opened)->find("c");
  ASSERT_NE(tensor, nullptr);
  EXPECT_EQ(tensor->shard, 1U);
  std::vector<float> values(2);
  ASSERT_TRUE(decode_rows(**opened, *tensor, 0, 1, values.data()).has_value());
  EXPECT_THAT(values, ElementsAre(1, 0));
  EXPECT_EQ(*(*opened)->metadata().string("general.name"), "shard 0");
  EXPECT_EQ((*opened)->metadata().find("split.count"), nullptr);
}

TEST_F(GgufSplit, NamesTheMissingShard) {
  const fs::path first = put_shard("m-00001-of-00002.gguf", {.tensors = {"a", "b"}});
  const auto opened = open_container(first);
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::kNotFound);
  EXPECT_THAT(opened.error().file, HasSubstr("m-00002-of-00002.gguf"));
}

TEST_F(GgufSplit, SendsALaterShardToTheFirst) {
  const fs::path second = put_shard("m-00002-of-00002.gguf", {.no = 1, .tensors = {"c"}});
  const auto opened = open_container(second);
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(opened.error().hint, HasSubstr("00001-of-00002.gguf"));
}

TEST_F(GgufSplit, RefusesShardsThatDoNotBelongTogether) {
  EXPECT_THAT(refused({.no = 1, .tensors = {"a"}}).tensor, "a");
  EXPECT_THAT(refused({.no = 0, .tensors = {"c"}}).found, HasSubstr("shard 1 of 2"));
  EXPECT_THAT(refused({.no = 1, .count = 3, .tensors = {"c"}}).found, HasSubstr("shard 2 of 3"));
  EXPECT_THAT(refused({.no = 1, .tensors = {}}).tensor, "split.tensors.count");
  EXPECT_THAT(refused({.no = 1, .tensors = {"c", "d"}}).found, "3");
}

TEST_F(GgufSplit, RefusesARenamedFirstShard) {
  const auto opened = open_container(put_shard("renamed.gguf", {.tensors = {"a"}}));
  ASSERT_FALSE(opened.has_value());
  EXPECT_THAT(opened.error().expected, HasSubstr("00001-of-00002.gguf"));
}

TEST_F(GgufSplit, RefusesCountsThatMakeNoSense) {
  const auto first = put_shard("m-00001-of-00002.gguf", {.no = 7, .tensors = {"a"}});
  const auto opened = open_container(first);
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().tensor, "split.no");
}

TEST_F(GgufSplit, ReadsTheShardsThatLlamaCppMade) {
  const fs::path folder = test::shared_formats() / "gguf-quantized";
  if (!fs::exists(folder)) GTEST_SKIP() << folder << " is absent";
  if (block_format_by_name("q2_k") == nullptr) GTEST_SKIP() << "q2_k is not among the formats";
  for (const auto& entry : fs::directory_iterator(folder / "split")) {
    static_cast<void>(put(entry.path().stem().string(), test::unpack(entry.path())));
  }
  const auto opened = open_container(folder_ / "tiny-Q2_K-00001-of-00003.gguf");
  ASSERT_TRUE(opened.has_value()) << opened.error().message();
  const auto golden = Json::parse(*read_text(folder / "goldens/Q2_K.json"), "golden");
  ASSERT_TRUE(golden.has_value());
  EXPECT_EQ((*opened)->tensors().size(), 20U);
  for (const TensorInfo& tensor : (*opened)->tensors()) {
    EXPECT_EQ(sha256_hex((*opened)->bytes(tensor)),
              (*golden)["tensors"][tensor.name]["sha256_raw"].string());
  }
}

}  // namespace
}  // namespace quantlane
