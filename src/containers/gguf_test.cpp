#include "containers/gguf.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "containers/container_test_files.h"
#include "core/hash.h"
#include "core/json.h"

namespace quantlane {
namespace {

using test::bytes_of;
using test::committed;
using test::FolderTest;
using test::GgufBytes;
using test::raw;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class GgufFixtures : public FolderTest {
 protected:
  // Compares each tensor with the hashes that llama.cpp's own library gave: the stored bytes, and
  // the decoded values.
  static void expect_golden(const Container& container, const Json& golden) {
    const Json& tensors = golden["tensors"];
    ASSERT_EQ(container.tensors().size(), tensors.members().size());
    for (const TensorInfo& tensor : container.tensors()) {
      const Json& row = tensors[tensor.name];
      ASSERT_TRUE(row.is_object()) << tensor.name;
      EXPECT_EQ(sha256_hex(container.bytes(tensor)), row["sha256_raw"].string()) << tensor.name;
      std::vector<std::int64_t> shape;
      for (const Json& extent : row["shape"].items()) shape.push_back(extent.integer());
      std::ranges::reverse(shape);
      EXPECT_EQ(tensor.shape, shape) << tensor.name;
      std::vector<float> values(static_cast<std::size_t>(tensor.element_count()));
      ASSERT_TRUE(decode_rows(container, tensor, 0, tensor.rows(), values.data()).has_value());
      EXPECT_EQ(sha256_hex(bytes_of(values)), row["sha256_f32"].string())
          << tensor.name << " " << tensor.type.name();
    }
  }
};

TEST_F(GgufFixtures, Q4KMatchesTheGoldensOfLlamaCpp) {
  const fs::path path = put("tiny.gguf", test::unpack(committed("gguf/tiny-Q4_K.gguf.xz")));
  const auto opened = open_container(path);
  ASSERT_TRUE(opened.has_value()) << opened.error().message();
  const auto golden = Json::parse(*read_text(committed("gguf/tiny-Q4_K.json")), "golden");
  ASSERT_TRUE(golden.has_value());
  expect_golden(**opened, *golden);
  const Metadata& metadata = (*opened)->metadata();
  EXPECT_EQ(*metadata.string("general.architecture"), "llama");
  EXPECT_EQ(metadata.integer("llama.block_count"), 2);
  EXPECT_EQ(metadata.integer("general.quantization_version"), 2);
  ASSERT_NE(metadata.strings("tokenizer.ggml.tokens"), nullptr);
  EXPECT_EQ(metadata.strings("tokenizer.ggml.tokens")->size(), 512U);
  EXPECT_THAT((*opened)->find("blk.0.ffn_down.weight")->shape, ElementsAre(256, 512));
}

TEST_F(GgufFixtures, EveryTypeThatHasAFormatMatchesItsGoldens) {
  const fs::path folder = test::shared_formats() / "gguf-quantized";
  if (!fs::exists(folder)) GTEST_SKIP() << folder << " is absent";
  int opened_count = 0;
  for (const auto& entry : fs::directory_iterator(folder / "gguf")) {
    const std::string stem = entry.path().stem().stem().string();  // tiny-Q4_K
    SCOPED_TRACE(stem);
    const auto opened = open_container(put(stem + ".gguf", test::unpack(entry.path())));
    ASSERT_TRUE(opened.has_value()) << opened.error().message();
    const auto golden =
        Json::parse(*read_text(folder / "goldens" / (stem.substr(5) + ".json")), stem);
    ASSERT_TRUE(golden.has_value());
    ASSERT_NO_FATAL_FAILURE(expect_golden(**opened, *golden));
    ++opened_count;
  }
  EXPECT_EQ(opened_count, 3 + static_cast<int>(block_formats().size()));
}

TEST_F(GgufFixtures, ReadsLoraAndImatrixFiles) {
  const auto lora = open_container(put("lora.gguf", test::unpack(committed("gguf/lora.gguf.xz"))));
  ASSERT_TRUE(lora.has_value()) << lora.error().message();
  EXPECT_EQ(*(*lora)->metadata().string("general.type"), "adapter");
  EXPECT_EQ((*lora)->metadata().number("adapter.lora.alpha"), 4.0);
  EXPECT_EQ((*lora)->tensors().size(), 28U);
  const auto imatrix = open_container(committed("gguf/imatrix.gguf"));
  ASSERT_TRUE(imatrix.has_value());
  EXPECT_THAT(*(*imatrix)->metadata().strings("imatrix.datasets"), ElementsAre("cal6k.txt"));
  const TensorInfo* sums = (*imatrix)->find("blk.0.attn_k.weight.in_sum2");
  ASSERT_NE(sums, nullptr);
  std::vector<float> values(static_cast<std::size_t>(sums->element_count()));
  ASSERT_TRUE(decode_rows(**imatrix, *sums, 0, sums->rows(), values.data()).has_value());
  EXPECT_EQ(values[0], 2250.172607421875F);
  EXPECT_EQ(values[3], 2303.52490234375F);
}

TEST_F(GgufFixtures, RefusesAnAnnouncedTensorWithoutData) {
  const auto opened = open_container(committed("gguf/invalid_no_data.gguf"));
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(opened.error().tensor, "test.weight.0");
}

TEST_F(GgufFixtures, ReadsAWholeModelOfAnotherProject) {
  const fs::path path = test::shared_formats() / "ollama/llama-2-tiny-random.gguf";
  if (!fs::exists(path)) GTEST_SKIP() << path << " is absent";
  const auto opened = open_container(path);
  ASSERT_TRUE(opened.has_value()) << opened.error().message();
  EXPECT_EQ((*opened)->tensors().size(), 12U);
  EXPECT_EQ((*opened)->metadata().entries().size(), 18U);
  EXPECT_EQ((*opened)->metadata().strings("tokenizer.ggml.tokens")->size(), 32000U);
}

TEST(Gguf, ReadsTheSmallFile) {
  for (const std::uint32_t version : {2U, 3U}) {
    std::string bytes = test::small_gguf().bytes();
    bytes.replace(4, 4, raw(version));
    const auto parsed = parse_gguf(bytes_of(bytes), "small.gguf");
    ASSERT_TRUE(parsed.has_value()) << parsed.error().message();
    EXPECT_EQ(parsed->version, version);
    EXPECT_EQ(parsed->metadata.integer("x.count"), 7);
    EXPECT_EQ(parsed->metadata.integers("x.list"), (std::vector<std::int64_t>{1, 2, 3}));
    ASSERT_EQ(parsed->tensors.size(), 2U);
    EXPECT_EQ(parsed->tensors[1].offset - parsed->tensors[0].offset, 32U);
    EXPECT_EQ(parsed->tensors[1].offset % 32, 0U);
  }
}

TEST(Gguf, HonoursTheAlignmentKey) {
  for (const std::uint32_t alignment : {1U, 8U, 64U, 4096U}) {
    GgufBytes file(2, 1);
    file.key("general.alignment", GgufBytes::kUint32, alignment);
    file.info("a", {1}, 0, 0).info("b", {1}, 0, std::max(alignment, 4U)).pad(alignment);
    const std::size_t begin = file.bytes().size();
    file.text(raw(1.0F)).pad(alignment).text(raw(2.0F));
    const auto parsed = parse_gguf(bytes_of(file.bytes()), "aligned.gguf");
    ASSERT_TRUE(parsed.has_value()) << parsed.error().message();
    EXPECT_EQ(parsed->tensors[0].offset, begin);
  }
}

TEST(Gguf, AcceptsAScalarAndAFileWithoutFinalPadding) {
  GgufBytes file(1, 0);
  file.info("s", {}, 0, 0).pad().text(raw(5.0F));
  const auto parsed = parse_gguf(bytes_of(file.bytes()), "scalar.gguf");
  ASSERT_TRUE(parsed.has_value()) << parsed.error().message();
  EXPECT_TRUE(parsed->tensors[0].shape.empty());
  EXPECT_EQ(parsed->tensors[0].element_count(), 1);
}

TEST(GgmlTypes, EveryIdOfLlamaCppIsReadOrRefusedByName) {
  std::vector<std::uint32_t> refused;
  for (std::uint32_t id = 0; id <= 42; ++id) {
    const auto type = ggml_element_type(id);
    if (type.has_value()) continue;
    EXPECT_THAT(type.error(), Not(HasSubstr("unknown")));
    refused.push_back(id);
  }
  EXPECT_THAT(refused, ElementsAre(4, 5, 9, 15, 31, 32, 33, 36, 37, 38));
}

TEST(GgmlTypes, IdsRoundTripAndStrangersAreNamed) {
  for (const BlockFormat* block : block_formats()) {
    const auto id = ggml_type_id({.block = block});
    ASSERT_TRUE(id.has_value());
    EXPECT_EQ(ggml_element_type(*id)->block, block);
  }
  EXPECT_EQ(ggml_type_id({.plain = DType::kBF16}), 30U);
  EXPECT_FALSE(ggml_type_id({.plain = DType::kU8}).has_value());
  const std::pair<std::uint32_t, const char*> strangers[] = {
      {4, "retired"},        {15, "activations"},   {31, "retired"},        {36, "ik_llama.cpp"},
      {144, "iq4_ks of ik"}, {142, "PrismML"},      {202, "q4_0_r8 of ik"}, {399, "q8_k_r8 of ik"},
      {400, "unknown"},      {136, "q8_k64 of ik"}, {~0U, "unknown"},       {1U << 31, "unknown"},
      {43, "unknown"},       {96, "unknown"},       {350, "ik_llama.cpp"}};
  for (const auto& [id, what] : strangers) {
    const auto type = ggml_element_type(id);
    ASSERT_FALSE(type.has_value()) << id;
    EXPECT_THAT(type.error(), HasSubstr(what));
    EXPECT_THAT(type.error(), HasSubstr(std::to_string(id)));
  }
}

}  // namespace
}  // namespace quantlane
