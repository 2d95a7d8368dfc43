#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "containers/container_test_files.h"
#include "containers/safetensors.h"

namespace quantlane {
namespace {

using test::bytes_of;
using test::FolderTest;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr ElementType kPlainF32{.plain = DType::kF32};
constexpr ElementType kU8{.plain = DType::kU8};

class SafetensorsWriter : public FolderTest {
 protected:
  const fs::path path_ = folder_ / "model.safetensors";
};

TEST_F(SafetensorsWriter, WritesTheExpectedBytes) {
  const std::vector<float> values = {1.0F, -2.0F};
  auto writer = create_safetensors(path_, {{"a", kPlainF32, {2, 1}}}, {});
  ASSERT_TRUE(writer.has_value());
  ASSERT_TRUE((*writer)->write(0, bytes_of(values)).has_value());
  EXPECT_FALSE(fs::exists(path_));
  ASSERT_TRUE((*writer)->commit().has_value());
  std::string header =
      R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}})";
  header.resize(88, ' ');
  EXPECT_EQ(*read_text(path_), test::safetensors_bytes(header, test::raw(1.0F) + test::raw(-2.0F)));
}

TEST_F(SafetensorsWriter, ReadsBackWhatItWroteInPieces) {
  Metadata metadata;
  metadata.set("format", std::string("mlx"));
  metadata.set("note", std::string("\"quoted\"\nü"));
  const std::vector<float> first = {1, 2, 3, 4, 5, 6};
  const std::vector<std::uint8_t> last = {7, 8, 9};
  auto writer = create_safetensors(path_,
                                   {{"one", kPlainF32, {2, 3}},
                                    {"none", kPlainF32, {0, 4}},
                                    {"scalar", kPlainF32, {}},
                                    {"x", kU8, {3}}},
                                   metadata);
  ASSERT_TRUE(writer.has_value());
  for (std::size_t i = 0; i < 24; i += 5) {
    const auto rest = bytes_of(first).subspan(i);
    ASSERT_TRUE((*writer)->write(0, rest.first(std::min<std::size_t>(5, rest.size()))).has_value());
  }
  ASSERT_TRUE((*writer)->write(1, {}).has_value());
  ASSERT_TRUE((*writer)->write(2, bytes_of(first).first(4)).has_value());
  ASSERT_TRUE((*writer)->write(3, bytes_of(last)).has_value());
  ASSERT_TRUE((*writer)->commit().has_value());

  const auto opened = open_container(path_);
  ASSERT_TRUE(opened.has_value()) << opened.error().message();
  EXPECT_EQ(*(*opened)->metadata().string("format"), "mlx");
  EXPECT_EQ(*(*opened)->metadata().string("note"), "\"quoted\"\nü");
  std::vector<std::string> names;
  for (const TensorInfo& tensor : (*opened)->tensors()) names.push_back(tensor.name);
  EXPECT_THAT(names, ElementsAre("one", "none", "scalar", "x"));
  EXPECT_THAT((*opened)->find("none")->shape, ElementsAre(0, 4));
  EXPECT_THAT((*opened)->find("scalar")->shape, ElementsAre());
  EXPECT_EQ((*opened)->find("one")->offset % 8, 0U);
  std::vector<float> values(6);
  ASSERT_TRUE(decode_rows(**opened, *(*opened)->find("one"), 0, 2, values.data()).has_value());
  EXPECT_EQ(values, first);
}

TEST_F(SafetensorsWriter, PutsWiderTypesFirstWhereATensorWouldBeMisaligned) {
  const std::vector<std::uint8_t> bytes = {1, 2, 3};
  const std::vector<float> values = {4.0F};
  auto writer = create_safetensors(path_, {{"bytes", kU8, {3}}, {"values", kPlainF32, {1}}}, {});
  ASSERT_TRUE(writer.has_value());
  ASSERT_TRUE((*writer)->write(0, bytes_of(bytes)).has_value());
  ASSERT_TRUE((*writer)->write(1, bytes_of(values)).has_value());
  ASSERT_TRUE((*writer)->commit().has_value());
  const auto opened = open_container(path_);
  ASSERT_TRUE(opened.has_value());
  EXPECT_EQ((*opened)->tensors()[0].name, "values");
  EXPECT_EQ((*opened)->tensors()[0].offset % 4, 0U);
  EXPECT_EQ((*opened)->bytes((*opened)->tensors()[1])[2], std::byte{3});
}

TEST_F(SafetensorsWriter, HoldsTheCallerToThePlan) {
  const std::vector<float> values(3);
  const auto plan = std::vector<PlannedTensor>{{"a", kPlainF32, {2}}, {"b", kPlainF32, {1}}};
  auto writer = create_safetensors(path_, plan, {});
  ASSERT_TRUE(writer.has_value());
  EXPECT_EQ((*writer)->write(1, bytes_of(values)).error().code, ErrorCode::kInternal);
  EXPECT_EQ((*writer)->write(0, bytes_of(values)).error().code, ErrorCode::kInternal);
  // Tensors come in any order.
  ASSERT_TRUE((*writer)->write(1, bytes_of(values).first(4)).has_value());
  ASSERT_TRUE((*writer)->write(0, bytes_of(values).first(4)).has_value());
  const auto early = (*writer)->commit();
  ASSERT_FALSE(early.has_value());
  EXPECT_EQ(early.error().tensor, "a");
  EXPECT_EQ((*writer)->write(1, bytes_of(values).first(4)).error().code, ErrorCode::kInternal);
  ASSERT_TRUE((*writer)->write(0, bytes_of(values).first(4)).has_value());
  EXPECT_EQ((*writer)->write(0, bytes_of(values).first(4)).error().code, ErrorCode::kInternal);
  EXPECT_EQ((*writer)->write(2, bytes_of(values).first(4)).error().code, ErrorCode::kInternal);
  ASSERT_TRUE((*writer)->commit().has_value());
  EXPECT_EQ((*writer)->commit().error().code, ErrorCode::kInternal);
  EXPECT_EQ((*writer)->write(1, bytes_of(values)).error().code, ErrorCode::kInternal);
}

TEST_F(SafetensorsWriter, LeavesNothingWithoutCommit) {
  {
    auto writer = create_safetensors(path_, {{"a", kU8, {1}}}, {});
    ASSERT_TRUE(writer.has_value());
  }
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(SafetensorsWriter, RefusesPlansThatTheFormatCannotHold) {
  BlockFormat blocks{};
  blocks.name = "blocks";
  blocks.block_values = 32;
  blocks.block_bytes = 18;
  Metadata number;
  number.set("count", std::uint32_t{1});
  const struct {
    const char* what;
    std::vector<PlannedTensor> plan;
    Metadata metadata;
  } cases[] = {{"empty name", {{"", kU8, {1}}}, {}},
               {"one name twice", {{"a", kU8, {1}}, {"a", kU8, {1}}}, {}},
               {"reserved name", {{"__metadata__", kU8, {1}}}, {}},
               {"block format", {{"a", {.block = &blocks}, {32}}}, {}},
               {"negative extent", {{"a", kU8, {-1}}}, {}},
               {"overflow", {{"a", kPlainF32, {1 << 30, 1 << 30, 1 << 30}}}, {}},
               {"metadata number", {}, number}};
  for (const auto& [what, plan, metadata] : cases) {
    const auto writer = create_safetensors(path_, plan, metadata);
    ASSERT_FALSE(writer.has_value()) << what;
    EXPECT_EQ(writer.error().code, ErrorCode::kInvalidArgument) << what;
  }
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(SafetensorsWriter, AnUnwritablePlaceIsAnIoError) {
  static_cast<void>(put("file", "x"));
  const auto writer = create_safetensors(folder_ / "file" / "m.safetensors", {}, {});
  ASSERT_FALSE(writer.has_value());
  EXPECT_THAT(writer.error().file, HasSubstr("file"));
}

}  // namespace
}  // namespace quantlane
