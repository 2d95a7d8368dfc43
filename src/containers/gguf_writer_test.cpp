#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "containers/container_test_files.h"
#include "containers/gguf.h"

namespace quantlane {
namespace {

using test::bytes_of;
using test::committed;
using test::FolderTest;
using test::raw;

constexpr ElementType kF32{.plain = DType::kF32};

class GgufWriter : public FolderTest {
 protected:
  // Opens `path` and writes all of it again; returns the new file's bytes.
  std::string rewrite(const fs::path& path) const {
    const auto opened = open_container(path);
    EXPECT_TRUE(opened.has_value());
    std::vector<PlannedTensor> plan;
    for (const TensorInfo& tensor : (*opened)->tensors()) {
      plan.push_back({tensor.name, tensor.type, tensor.shape});
    }
    auto writer = create_gguf(folder_ / "copy.gguf", plan, (*opened)->metadata());
    EXPECT_TRUE(writer.has_value());
    for (std::size_t i = 0; i < plan.size(); ++i) {
      const auto bytes = (*opened)->bytes((*opened)->tensors()[i]);
      EXPECT_TRUE((*writer)->write(i, bytes).has_value());
    }
    EXPECT_TRUE((*writer)->commit().has_value());
    return *read_text(folder_ / "copy.gguf");
  }
};

TEST_F(GgufWriter, ReproducesFilesOfOtherToolsByteForByte) {
  const std::string model = test::unpack(committed("gguf/tiny-Q4_K.gguf.xz"));
  EXPECT_TRUE(rewrite(put("model.gguf", model)) == model);
  const std::string lora = test::unpack(committed("gguf/lora.gguf.xz"));
  EXPECT_TRUE(rewrite(put("lora.gguf", lora)) == lora);
  EXPECT_TRUE(rewrite(committed("gguf/imatrix.gguf")) ==
              *read_text(committed("gguf/imatrix.gguf")));
  const std::string small = test::small_gguf().bytes();
  EXPECT_EQ(rewrite(put("small.gguf", small)), small);
}

TEST_F(GgufWriter, KeepsEveryValueType) {
  Metadata metadata;
  metadata.set("u8", std::uint8_t{255});
  metadata.set("i8", std::int8_t{-128});
  metadata.set("u16", std::uint16_t{65535});
  metadata.set("i16", std::int16_t{-32768});
  metadata.set("u32", ~std::uint32_t{0});
  metadata.set("i32", std::int32_t{-1});
  metadata.set("f32", 0.1F);
  metadata.set("bool", true);
  metadata.set("string", std::string("ü\0x", 4));
  metadata.set("u64", ~std::uint64_t{0});
  metadata.set("i64", std::int64_t{-1});
  metadata.set("f64", 0.1);
  metadata.set("u8s", std::vector<std::uint8_t>{1, 2});
  metadata.set("i8s", std::vector<std::int8_t>{-1});
  metadata.set("u16s", std::vector<std::uint16_t>{3});
  metadata.set("i16s", std::vector<std::int16_t>{-3});
  metadata.set("u32s", std::vector<std::uint32_t>{4});
  metadata.set("i32s", std::vector<std::int32_t>{-4});
  metadata.set("f32s", std::vector<float>{0.5F, -0.0F});
  metadata.set("bools", std::vector<bool>{true, false, true});
  metadata.set("strings", std::vector<std::string>{"", "two"});
  metadata.set("u64s", std::vector<std::uint64_t>{5});
  metadata.set("i64s", std::vector<std::int64_t>{-5});
  metadata.set("f64s", std::vector<double>{});
  ASSERT_EQ(metadata.entries().size(), std::variant_size_v<MetadataValue>);
  auto writer = create_gguf(folder_ / "m.gguf", {}, metadata);
  ASSERT_TRUE(writer.has_value());
  ASSERT_TRUE((*writer)->commit().has_value());
  const auto opened = open_container(folder_ / "m.gguf");
  ASSERT_TRUE(opened.has_value()) << opened.error().message();
  EXPECT_EQ((*opened)->metadata().entries(), metadata.entries());
}

TEST_F(GgufWriter, PadsEachTensorToTheAlignment) {
  Metadata metadata;
  metadata.set("general.alignment", std::uint32_t{64});
  const std::vector<float> values = {1, 2, 3};
  auto writer = create_gguf(folder_ / "m.gguf", {{"a", kF32, {3}}, {"b", kF32, {1, 1}}}, metadata);
  ASSERT_TRUE(writer.has_value());
  ASSERT_TRUE((*writer)->write(0, bytes_of(values)).has_value());
  ASSERT_TRUE((*writer)->write(1, bytes_of(values).first(4)).has_value());
  ASSERT_TRUE((*writer)->commit().has_value());
  const std::string bytes = *read_text(folder_ / "m.gguf");
  EXPECT_EQ(bytes.size() % 64, 0U);
  EXPECT_EQ(bytes.substr(bytes.size() - 64), raw(1.0F) + std::string(60, '\0'));
  EXPECT_TRUE(open_container(folder_ / "m.gguf").has_value());
}

TEST_F(GgufWriter, RefusesPlansThatTheFormatCannotHold) {
  const BlockFormat* q8_0 = block_format_by_name("q8_0");
  ASSERT_NE(q8_0, nullptr);
  Metadata alignment;
  alignment.set("general.alignment", std::uint32_t{48});
  Metadata wide_alignment;
  wide_alignment.set("general.alignment", std::uint64_t{64});
  Metadata empty_key;
  empty_key.set("", std::uint32_t{1});
  const struct {
    const char* what;
    std::vector<PlannedTensor> plan;
    Metadata metadata;
  } cases[] = {{"empty name", {{"", kF32, {1}}}, {}},
               {"long name", {{std::string(64, 'n'), kF32, {1}}}, {}},
               {"one name twice", {{"a", kF32, {1}}, {"a", kF32, {1}}}, {}},
               {"no ggml id", {{"a", {.plain = DType::kU8}, {1}}}, {}},
               {"five dimensions", {{"a", kF32, {1, 1, 1, 1, 1}}}, {}},
               {"zero extent", {{"a", kF32, {0}}}, {}},
               {"part of a block", {{"a", {.block = q8_0}, {2, 48}}}, {}},
               {"alignment 48", {}, alignment},
               {"alignment of another type", {}, wide_alignment},
               {"empty key", {}, empty_key}};
  for (const auto& [what, plan, metadata] : cases) {
    const auto writer = create_gguf(folder_ / "m.gguf", plan, metadata);
    ASSERT_FALSE(writer.has_value()) << what;
    EXPECT_EQ(writer.error().code, ErrorCode::kInvalidArgument) << what;
  }
  EXPECT_TRUE(fs::is_empty(folder_));
}

}  // namespace
}  // namespace quantlane
