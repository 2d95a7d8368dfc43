#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "containers/container_test_files.h"
#include "containers/gguf.h"
#include "containers/gguf_split.h"

namespace quantlane {
namespace {

using test::FolderTest;
using testing::ElementsAre;

constexpr ElementType kFloats{.plain = DType::kF32};

class GgufSplitWriter : public FolderTest {
 protected:
  [[nodiscard]] std::vector<std::string> listing() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_))
      names.push_back(entry.path().filename().string());
    std::ranges::sort(names);
    return names;
  }
  // Tensors "a", "b", … of so many float32 values each, all equal to their index.
  [[nodiscard]] static std::vector<PlannedTensor> plan_of(const std::vector<std::int64_t>& sizes) {
    std::vector<PlannedTensor> plan;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      plan.push_back({std::string(1, static_cast<char>('a' + i)), kFloats, {sizes[i]}});
    }
    return plan;
  }
  static Result<void> fill(ContainerWriter& writer, const std::vector<PlannedTensor>& plan) {
    for (std::size_t i = 0; i < plan.size(); ++i) {
      const std::vector<float> values(static_cast<std::size_t>(plan[i].shape[0]),
                                      static_cast<float>(i));
      auto written = writer.write(i, std::as_bytes(std::span(values)));
      if (!written) return written;
    }
    return writer.commit();
  }
};

TEST_F(GgufSplitWriter, NamesShardsAsLlamaCppDoes) {
  EXPECT_EQ(gguf_shard_path("d/m.gguf", 1, 3), "d/m-00002-of-00003.gguf");
  EXPECT_EQ(gguf_shard_path("m.v2.gguf", 0, 1), "m.v2-00001-of-00001.gguf");
  EXPECT_EQ(gguf_shard_path("m-00001-of-00009.gguf", 2, 3), "m-00003-of-00003.gguf");
  EXPECT_EQ(gguf_shard_path("m-0000x-of-00009.gguf", 2, 3), "m-0000x-of-00009-00003-of-00003.gguf");
  for (const char* name : {"m.gguf", "m-00002-of-00002.gguf", "m-00001-of-00002.gguf",
                           "n-00001-of-00002.gguf", "m-1-of-2.gguf"}) {
    static_cast<void>(put(name, ""));
  }
  EXPECT_THAT(existing_gguf_shards(folder_ / "m.gguf"),
              ElementsAre(folder_ / "m-00001-of-00002.gguf", folder_ / "m-00002-of-00002.gguf"));
  EXPECT_TRUE(existing_gguf_shards(folder_ / "absent" / "m.gguf").empty());
}

// Shards of 7, 7 and 6 tensors.
TEST_F(GgufSplitWriter, ReproducesTheShardsOfLlamaGgufSplit) {
  const fs::path folder = test::shared_formats() / "gguf-quantized/split";
  if (!fs::exists(folder)) GTEST_SKIP() << folder << " is absent";
  for (const auto& entry : fs::directory_iterator(folder)) {
    static_cast<void>(put(entry.path().stem().string(), test::unpack(entry.path())));
  }
  const auto opened = open_container(folder_ / "tiny-Q2_K-00001-of-00003.gguf");
  ASSERT_TRUE(opened.has_value()) << opened.error().message();
  std::vector<PlannedTensor> plan;
  std::vector<std::uint32_t> shard_of;
  for (const TensorInfo& tensor : (*opened)->tensors()) {
    plan.push_back({tensor.name, tensor.type, tensor.shape});
    shard_of.push_back(tensor.shard);
  }
  auto writer = create_split_gguf(folder_ / "own.gguf", plan, shard_of, (*opened)->metadata());
  ASSERT_TRUE(writer.has_value());
  for (std::size_t i = 0; i < plan.size(); ++i) {
    ASSERT_TRUE((*writer)->write(i, (*opened)->bytes((*opened)->tensors()[i])).has_value());
  }
  ASSERT_TRUE((*writer)->commit().has_value());
  for (std::size_t shard = 0; shard < 3; ++shard) {
    EXPECT_TRUE(*read_text(gguf_shard_path(folder_ / "own.gguf", shard, 3)) ==
                *read_text(gguf_shard_path(folder_ / "tiny-Q2_K.gguf", shard, 3)))
        << shard;
  }
}

TEST_F(GgufSplitWriter, NoFileExceedsTheSizeUnlessOneTensorDoes) {
  const auto plan = plan_of({100, 1000, 300, 200, 5000, 1, 1, 1000});
  Metadata metadata;
  metadata.set("general.name", std::string(700, 'x'));
  for (const std::uint64_t limit : {1ULL, 1500ULL, 4800ULL, 9000ULL, 1000000ULL}) {
    SCOPED_TRACE(limit);
    const auto shard_of = gguf_shards_by_size(plan, metadata, limit);
    const auto writer = create_split_gguf(folder_ / "m.gguf", plan, shard_of, metadata);
    ASSERT_TRUE(writer.has_value());
    ASSERT_TRUE(fill(**writer, plan).has_value());
    const std::size_t shards = shard_of.back() + 1U;
    for (std::size_t shard = 0; shard < shards; ++shard) {
      const fs::path path = gguf_shard_path(folder_ / "m.gguf", shard, shards);
      const bool alone = std::ranges::count(shard_of, shard) == 1;
      EXPECT_TRUE(alone || fs::file_size(path) <= limit) << path << " " << fs::file_size(path);
      // The next tensor would not have fitted.
      if (shard + 1 == shards) continue;
      const auto next = std::ranges::find(shard_of, shard + 1) - shard_of.begin();
      EXPECT_GT(fs::file_size(path) + plan[static_cast<std::size_t>(next)].size_bytes() + 80,
                limit);
    }
    const auto opened = open_container(gguf_shard_path(folder_ / "m.gguf", 0, shards));
    ASSERT_TRUE(opened.has_value()) << opened.error().message();
    ASSERT_EQ((*opened)->tensors().size(), plan.size());
    for (std::size_t i = 0; i < plan.size(); ++i) {
      const TensorInfo* tensor = (*opened)->find(plan[i].name);
      ASSERT_NE(tensor, nullptr);
      float first = -1;
      std::memcpy(&first, (*opened)->bytes(*tensor).data(), sizeof first);
      EXPECT_EQ(first, static_cast<float>(i));
    }
  }
}

TEST_F(GgufSplitWriter, AppearsAsAWholeOrNotAtAll) {
  const auto plan = plan_of({10, 20, 30});
  {
    const auto writer = create_split_gguf(folder_ / "m.gguf", plan, {0, 1, 2}, {});
    ASSERT_TRUE(writer.has_value());
    const std::vector<float> values(30);
    const auto bytes = std::as_bytes(std::span(values));
    ASSERT_TRUE((*writer)->write(0, bytes.first(40)).has_value());
    ASSERT_TRUE((*writer)->write(1, bytes.first(80)).has_value());
    EXPECT_EQ((*writer)->write(0, bytes.first(4)).error().code, ErrorCode::kInternal);
    ASSERT_TRUE((*writer)->write(2, bytes.first(60)).has_value());
    EXPECT_EQ((*writer)->write(3, bytes.first(4)).error().code, ErrorCode::kInternal);
    EXPECT_EQ((*writer)->commit().error().code, ErrorCode::kInternal);  // 60 of 120 bytes
  }
  EXPECT_TRUE(listing().empty());
  const auto writer = create_split_gguf(folder_ / "m.gguf", plan, {0, 1, 1}, {});
  ASSERT_TRUE(fill(**writer, plan).has_value());
  EXPECT_THAT(listing(), ElementsAre("m-00001-of-00002.gguf", "m-00002-of-00002.gguf"));
}

TEST_F(GgufSplitWriter, RefusesMoreFilesThanTheirNumberHolds) {
  std::vector<PlannedTensor> plan;
  std::vector<std::uint32_t> shard_of;
  for (std::uint32_t i = 0; i <= kGgufMaxShards; ++i) {
    plan.push_back({std::to_string(i), kFloats, {1}});
    shard_of.push_back(i);
  }
  const auto writer = create_split_gguf(folder_ / "m.gguf", plan, shard_of, {});
  ASSERT_FALSE(writer.has_value());
  EXPECT_EQ(writer.error().code, ErrorCode::kInvalidArgument);
}

// Whichever shard it is that came meanwhile: it stays, and all of ours are together elsewhere.
TEST_F(GgufSplitWriter, AShardThatAppearsMeanwhileIsKeptAndSoIsTheWork) {
  const auto plan = plan_of({3, 5, 7});
  for (std::size_t shard = 0; shard < 3; ++shard) {
    const fs::path out = folder_ / std::to_string(shard) / "m.gguf";
    auto writer = create_split_gguf(out, plan, {0, 1, 2}, {}, keep_others);
    ASSERT_TRUE(writer.has_value());
    fs::create_directories(out.parent_path());
    const fs::path mine = gguf_shard_path(out, shard, 3);
    ASSERT_TRUE(write_text(mine, "mine"));
    const auto written = fill(**writer, plan);
    ASSERT_FALSE(written);
    const fs::path kept = out.string() + ".finished-" + std::to_string(::getpid());
    EXPECT_EQ(written.error().file, mine.string());
    EXPECT_NE(written.error().hint.find(kept.string()), std::string::npos);
    writer->reset();
    EXPECT_EQ(*read_text(mine), "mine");
    EXPECT_EQ(existing_gguf_shards(out), std::vector<fs::path>{mine});
    const auto opened = open_container(gguf_shard_path(kept / "m.gguf", 0, 3));
    ASSERT_TRUE(opened.has_value()) << opened.error().message();
    EXPECT_EQ((*opened)->tensors().size(), 3U);
    EXPECT_EQ(std::distance(fs::directory_iterator(out.parent_path()), fs::directory_iterator()),
              2);
  }
}

TEST_F(GgufSplitWriter, VacantPlacesAreTakenWithoutPermissionToReplace) {
  const auto plan = plan_of({3, 5});
  auto writer = create_split_gguf(folder_ / "m.gguf", plan, {0, 1}, {}, keep_others);
  ASSERT_TRUE(writer.has_value());
  ASSERT_TRUE(fill(**writer, plan).has_value());
  EXPECT_THAT(listing(), ElementsAre("m-00001-of-00002.gguf", "m-00002-of-00002.gguf"));
}

}  // namespace
}  // namespace quantlane
