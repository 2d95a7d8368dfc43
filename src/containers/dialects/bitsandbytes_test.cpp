// Configuration, damaged tensors, scales that are quantized again; values and bytes of the tool's
// own files: dialect_fixture_test.cpp.
#include "containers/dialects/bitsandbytes.h"

#include <cmath>
#include <cstring>

#include <gmock/gmock.h>

#include "containers/dialects/bitsandbytes_parts.h"
#include "containers/dialects/dialect_test_files.h"
#include "containers/dialects/part_collector.h"
#include "core/rng.h"
#include "formats/group_format.h"

namespace quantlane {
namespace {

constexpr std::string_view kState =
    R"({"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [2, 64]})";
constexpr std::string_view kNestedState =
    R"({"quant_type": "nf4", "blocksize": 64, "dtype": "bfloat16", "shape": [2, 64], )"
    R"("nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": 0.5})";

LinearScheme scheme(std::string_view spelling) {
  LinearScheme result{.weight = Scheme::parse(spelling).value(), .input = std::nullopt};
  bitsandbytes::kWriter.complete(result, DType::kBF16);
  return result;
}

template <class Values>
std::string floats(const Values& values) {
  std::string text;
  for (const float value : values) text += test::raw(value);
  return text;
}

class BitsAndBytes : public test::FolderTest {
 protected:
  [[nodiscard]] static std::vector<test::StoredTensor> tensors(std::string_view state) {
    return {{"m.weight", DType::kU8, {64, 1}, std::string(64, '\x7F')},
            {"m.weight.absmax", DType::kF32, {2}, test::raw(0.5F) + test::raw(2.0F)},
            {"m.weight.quant_map", DType::kF32, {16}, floats(bitsandbytes::nf4_map())},
            {"m.weight.quant_state.bitsandbytes__nf4",
             DType::kU8,
             {static_cast<std::int64_t>(state.size())},
             std::string(state)}};
  }
  [[nodiscard]] static std::vector<test::StoredTensor> nested_tensors() {
    auto all = tensors(kNestedState);
    all[1] = {"m.weight.absmax", DType::kU8, {2}, std::string("\xFF\x7F", 2)};
    all.push_back({"m.weight.nested_absmax", DType::kF32, {1}, test::raw(0.25F)});
    all.push_back(
        {"m.weight.nested_quant_map", DType::kF32, {256}, floats(bitsandbytes::dynamic_map())});
    return all;
  }
  Result<StoredLinear> unpack(const std::vector<test::StoredTensor>& all,
                              const LinearScheme& as) const {
    const auto container = test::container_of(all, folder_ / "m.safetensors");
    return kBitsAndBytes.unpack(*container, "m", as, 2, 64);
  }
};

TEST_F(BitsAndBytes, TheFirstCodeIsInTheHighNibble) {
  const auto linear = unpack(tensors(kState), scheme("nf4_g64"));
  ASSERT_TRUE(linear.has_value()) << linear.error().message();
  std::vector<float> row(64);
  linear->weight.decode_rows(1, 1, row.data());
  for (std::size_t c = 0; c < 64; ++c) EXPECT_EQ(row[c], c % 2 == 0 ? 0.0F : 2.0F);
}

TEST_F(BitsAndBytes, ScalesThatAreQuantizedAgainAreDecoded) {
  const auto linear = unpack(nested_tensors(), scheme("nf4_g64_dq"));
  ASSERT_TRUE(linear.has_value()) << linear.error().message();
  // Code 255 is one, 127 is zero: 0.25 * 1 + 0.5 and 0.25 * 0 + 0.5.
  EXPECT_THAT(linear->weight.scales, testing::ElementsAre(0.75F, 0.5F));
}

TEST_F(BitsAndBytes, EveryTensorIsChecked) {
  test::expect_every_tensor_checked(kBitsAndBytes, scheme("nf4_g64"), tensors(kState), 2, 64,
                                    folder_);
  test::expect_every_tensor_checked(kBitsAndBytes, scheme("nf4_g64_dq"), nested_tensors(), 2, 64,
                                    folder_);
}

TEST_F(BitsAndBytes, TheStateMustAgreeWithTheMatrix) {
  for (const char* state :
       {R"({"quant_type": "fp4", "blocksize": 64, "shape": [2, 64]})",
        R"({"quant_type": "nf4", "blocksize": 128, "shape": [2, 64]})",
        R"({"quant_type": "nf4", "blocksize": 64, "shape": [64, 2]})", "{", "[]"}) {
    const auto linear = unpack(tensors(state), scheme("nf4_g64"));
    ASSERT_FALSE(linear.has_value()) << state;
    EXPECT_EQ(linear.error().tensor, "m.weight.quant_state.bitsandbytes__nf4");
  }
  for (const char* part :
       {R"("nested_blocksize": 0, "nested_offset": 0.5})", R"("nested_blocksize": 256})"}) {
    auto all = nested_tensors();
    all[3].bytes =
        R"({"quant_type": "nf4", "blocksize": 64, "shape": [2, 64], )" + std::string(part);
    all[3].shape = {static_cast<std::int64_t>(all[3].bytes.size())};
    EXPECT_FALSE(unpack(all, scheme("nf4_g64_dq")).has_value()) << part;
  }
}

TEST_F(BitsAndBytes, AnotherMapOfCodesIsRefused) {
  auto all = tensors(kState);
  all[2].bytes.replace(0, 4, test::raw(-0.9F));
  const auto linear = unpack(all, scheme("nf4_g64"));
  ASSERT_FALSE(linear.has_value());
  EXPECT_EQ(linear.error().tensor, "m.weight.quant_map");
}

TEST_F(BitsAndBytes, TheMapOfScalesIsTheOneInTheToolsFile) {
  const fs::path file = folder_ / "slices.safetensors";
  const std::string bytes = test::unpack(test::committed("dialects/slices.safetensors.xz"));
  ASSERT_TRUE(write_text(file, bytes).has_value());
  const auto container = open_container(file);
  ASSERT_TRUE(container.has_value());
  const TensorInfo* map = (*container)->find("bnb-nf4-double-quant.weight.nested_quant_map");
  ASSERT_NE(map, nullptr);
  std::vector<float> stored(256);
  std::memcpy(stored.data(), (*container)->bytes(*map).data(), 1024);
  EXPECT_THAT(bitsandbytes::dynamic_map(), testing::ElementsAreArray(stored));
}

// Writes a matrix [rows, cols] of noise in two slices, as the folder writer does.
std::vector<test::StoredTensor> written(const LinearScheme& as, std::int64_t rows,
                                        std::int64_t cols) {
  Rng rng(3);
  std::vector<float> values(static_cast<std::size_t>(rows * cols));
  for (float& value : values) value = static_cast<float>(rng.normal());
  const DialectWriter& writer = bitsandbytes::kWriter;
  const auto plan = writer.plan("m", as, rows, cols);
  std::vector<PartCollector> collected(plan.begin(), plan.end());
  for (const std::int64_t begin : {std::int64_t{0}, rows / 2}) {
    const std::int64_t count = begin == 0 ? rows / 2 : rows - rows / 2;
    const auto slice = quantize_rows(as.weight, values.data() + begin * cols, count, cols, {});
    EXPECT_TRUE(slice.has_value());
    const auto parts = writer.pack(as, *slice, rows);
    for (std::size_t i = 0; i < parts.size(); ++i) collected[i].add(parts[i]);
  }
  std::vector<std::vector<std::byte>> whole(plan.size());
  for (std::size_t i = 0; i < plan.size(); ++i) whole[i] = collected[i].take();
  writer.finish(as, rows, cols, whole);
  std::vector<test::StoredTensor> tensors;
  for (std::size_t i = 0; i < plan.size(); ++i) {
    EXPECT_EQ(whole[i].size(), plan[i].tensor.size_bytes()) << plan[i].tensor.name;
    tensors.push_back(
        {plan[i].tensor.name, plan[i].tensor.type.plain, plan[i].tensor.shape,
         std::string(reinterpret_cast<const char*>(whole[i].data()), whole[i].size())});
  }
  return tensors;
}

TEST_F(BitsAndBytes, NestedScalesReadBackWithinHalfAStepOfTheirBlock) {
  constexpr std::int64_t kRows = 301;  // 602 scales: two whole blocks and a part
  const auto plain = test::container_of(written(scheme("nf4_g64"), kRows, 128), folder_ / "a");
  const auto nested = test::container_of(written(scheme("nf4_g64_dq"), kRows, 128), folder_ / "b");
  const auto exact = kBitsAndBytes.unpack(*plain, "m", scheme("nf4_g64"), kRows, 128);
  const auto rounded = kBitsAndBytes.unpack(*nested, "m", scheme("nf4_g64_dq"), kRows, 128);
  ASSERT_TRUE(exact.has_value()) << exact.error().message();
  ASSERT_TRUE(rounded.has_value()) << rounded.error().message();
  EXPECT_EQ(exact->weight.codes, rounded->weight.codes);
  const auto& scales = exact->weight.scales;
  double mean = 0;
  for (const float scale : scales) mean += static_cast<double>(scale) / 602;
  for (std::size_t i = 0; i < scales.size(); ++i) {
    double most = 0;
    for (std::size_t j = i / 256 * 256; j < std::min<std::size_t>(i / 256 * 256 + 256, 602); ++j) {
      most = std::max(most, std::abs(static_cast<double>(scales[j]) - mean));
    }
    // The widest steps of the map are 0.0141, that to one 0.0071; the lowest value is -0.993.
    EXPECT_NEAR(rounded->weight.scales[i], scales[i], 0.00715 * most) << i;
  }
}

TEST(BitsAndBytesConfig, ReadsWhatItWritesAndRefusesTheRest) {
  static const test::NoTensors kEmpty;
  const auto read = [](const Json& config) {
    return kBitsAndBytes.read_map({.config = config,
                                   .container = kEmpty,
                                   .origin = "config.json",
                                   .model_dtype = DType::kBF16});
  };
  const std::vector<std::string> ignore = {"lm_head"};
  for (const char* spelling : {"nf4_g64", "nf4_g64_dq"}) {
    const Json config = bitsandbytes::kWriter.write_config(scheme(spelling), ignore);
    EXPECT_TRUE(kBitsAndBytes.recognises(config));
    EXPECT_TRUE(read(config).has_value());
    EXPECT_EQ(config["bnb_4bit_use_double_quant"].boolean(),
              std::string_view(spelling).ends_with("dq"));
  }
  for (const auto& [key, value] : {std::pair<const char*, Json>{"load_in_4bit", false},
                                   {"bnb_4bit_quant_type", "fp4"},
                                   {"bnb_4bit_quant_storage", "bfloat16"}}) {
    Json config = bitsandbytes::kWriter.write_config(scheme("nf4_g64"), ignore);
    config.set(key, value);
    const auto map = read(config);
    ASSERT_FALSE(map.has_value()) << key;
    EXPECT_EQ(map.error().tensor, key);
  }
}

TEST(BitsAndBytesConfig, CannotHoldOtherSchemesAndWidths) {
  const auto refused = [](std::string_view spelling, std::int64_t cols) {
    const LinearScheme as{.weight = Scheme::parse(spelling).value(), .input = std::nullopt};
    return bitsandbytes::kWriter.cannot_hold(as, 4, cols).has_value();
  };
  EXPECT_FALSE(refused("nf4_g64", 128));
  EXPECT_TRUE(refused("nf4_g64", 96));
  EXPECT_TRUE(refused("nf4_g32", 128));
  EXPECT_TRUE(refused("int4_g64_sym", 128));
}

TEST(BitsAndBytesConfig, KeysOfAnotherTypeAreRefused) {
  static const test::NoTensors kEmpty;
  test::expect_every_key_checked(
      kBitsAndBytes,
      Json::parse(R"({"quant_method": "bitsandbytes", "load_in_4bit": true, "load_in_8bit": false,
          "_load_in_4bit": true, "_load_in_8bit": false, "bnb_4bit_compute_dtype": "float32",
          "bnb_4bit_quant_type": "nf4", "bnb_4bit_quant_storage": "uint8",
          "bnb_4bit_use_double_quant": false, "llm_int8_skip_modules": ["lm_head"]})",
                  "test")
          .value(),
      kEmpty);
}

TEST_F(BitsAndBytes, AStateThatIsCutShortSaysWhatToDo) {
  for (const std::size_t size : {std::size_t{1}, kState.size() / 2, kState.size() - 1}) {
    const auto linear = unpack(tensors(kState.substr(0, size)), scheme("nf4_g64"));
    ASSERT_FALSE(linear.has_value()) << size;
    const Error& error = linear.error();
    EXPECT_EQ(error.tensor, "m.weight.quant_state.bitsandbytes__nf4");
    EXPECT_NE(error.expected.find("JSON"), std::string::npos);
    EXPECT_FALSE(error.found.empty());
    EXPECT_NE(error.hint.find("cut short"), std::string::npos);
  }
}

TEST_F(BitsAndBytes, ConfigurationAndStateAgreeOnNestedScales) {
  const auto nested = unpack(nested_tensors(), scheme("nf4_g64"));
  ASSERT_FALSE(nested.has_value());
  EXPECT_NE(nested.error().hint.find("bnb_4bit_use_double_quant"), std::string::npos);
  const auto plain = unpack(tensors(kState), scheme("nf4_g64_dq"));
  ASSERT_FALSE(plain.has_value());
  EXPECT_NE(plain.error().hint.find("bnb_4bit_use_double_quant"), std::string::npos);
}

}  // namespace
}  // namespace quantlane
