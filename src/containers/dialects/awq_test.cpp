// The configuration and damaged tensors; values and bytes: dialect_fixture_test.cpp.
#include "containers/dialects/awq.h"

#include "containers/dialects/dialect_test_files.h"

namespace quantlane {
namespace {

// A Linear "m" [8, 32] in groups of 16: row r has the code r and the zero point 1.
std::vector<test::StoredTensor> tensors_of_m() {
  return {{"m.qweight", DType::kI32, {32, 1}, test::repeated(test::raw(0x75316420U), 32)},
          {"m.qzeros", DType::kI32, {2, 1}, test::repeated(test::raw(0x11111111U), 2)},
          {"m.scales", DType::kF16, {2, 8}, test::repeated(test::raw(std::uint16_t{0x3800}), 16)}};
}

class Awq : public test::FolderTest {
 protected:
  void SetUp() override {
    FolderTest::SetUp();
    container_ = test::container_of(tensors_of_m(), folder_ / "m.safetensors");
  }
  Result<std::unique_ptr<QuantizationMap>> map_from(const Json& config) const {
    return kAwq.read_map({.config = config,
                          .container = *container_,
                          .origin = "config.json",
                          .model_dtype = DType::kBF16});
  }
  Result<std::unique_ptr<QuantizationMap>> map_of(const std::string& settings) const {
    return map_from(Json::parse(R"({"quant_method": "awq", )" + settings + "}", "test").value());
  }
  LinearScheme scheme() const {
    return *(*map_of(R"("bits": 4, "group_size": 16, "zero_point": true, "version": "GEMM")"))
                ->scheme_of("m");
  }
  std::unique_ptr<Container> container_;
};

TEST_F(Awq, NibblesAreRowsInTheirOrder) {
  const auto linear = kAwq.unpack(*container_, "m", scheme(), 8, 32);
  ASSERT_TRUE(linear.has_value()) << linear.error().message();
  std::vector<float> values(8 * 32);
  linear->weight.decode_rows(0, 8, values.data());
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(values[i], 0.5F * (static_cast<float>(i / 32) - 1));
  }
}

TEST_F(Awq, ModulesAreKeptByPartsOfTheirNames) {
  EXPECT_TRUE((*map_of(R"("modules_to_not_convert": ["visual"])"))->scheme_of("m").has_value());
  EXPECT_FALSE((*map_of(R"("modules_to_not_convert": ["m"])"))->scheme_of("m").has_value());
  EXPECT_FALSE((*map_of(R"("modules_to_not_convert": null)"))->scheme_of("n").has_value());
  EXPECT_EQ((*map_of(R"("group_size": -1)"))->scheme_of("m")->weight.spelling(),
            "int4_channel_asym");
}

TEST_F(Awq, OlderFilesSpellTheKeysDifferently) {
  const Json old =
      Json::parse(R"({"zero_point": true, "q_group_size": 64, "w_bit": 4, "version": "GEMM"})",
                  "test")
          .value();
  const Json config = kAwq.from_side_file(old);
  EXPECT_TRUE(kAwq.recognises(config));
  EXPECT_EQ((*map_from(config))->scheme_of("m")->weight.group_size, 64);
  EXPECT_EQ(kAwq.from_side_file(kAwq.writer->to_side_file(config))["group_size"].integer(), 64);
  EXPECT_TRUE(kAwq.from_side_file(Json()).is_null());
}

TEST_F(Awq, WhatItCannotReadIsNamed) {
  for (const auto& [settings, key] : {std::pair{R"("bits": 8)", "bits"},
                                      {R"("version": "gemv")", "version"},
                                      {R"("group_size": 0)", "group_size"},
                                      {R"("group_size": 9999999999)", "group_size"},
                                      {R"("extra_config": {"m": {}})", "extra_config"}}) {
    const auto map = map_of(settings);
    ASSERT_FALSE(map.has_value()) << settings;
    EXPECT_EQ(map.error().tensor, key);
  }
  EXPECT_FALSE(kAwq.recognises(Json()));
}

TEST_F(Awq, EveryTensorIsChecked) {
  test::expect_every_tensor_checked(kAwq, scheme(), tensors_of_m(), 8, 32, folder_);
  EXPECT_EQ(kAwq.unpack(*container_, "m", scheme(), 7, 32).error().tensor, "m");
  EXPECT_EQ(kAwq.unpack(*container_, "m", scheme(), 8, 31).error().tensor, "m");
  EXPECT_EQ(kAwq.unpack(*container_, "m", scheme(), 8, std::int64_t{1} << 40).error().tensor,
            "m.qweight");
  auto tensors = tensors_of_m();
  tensors[2].bytes.replace(2, 2, test::raw(std::uint16_t{0x7C00}));
  const auto damaged = test::container_of(tensors, folder_ / "d.safetensors");
  EXPECT_EQ(kAwq.unpack(*damaged, "m", scheme(), 8, 32).error().tensor, "m.scales");
}

TEST_F(Awq, ConfigurationReadsBackAsWritten) {
  const std::vector<std::string> ignore = {"lm_head"};
  LinearScheme wanted{.weight = Scheme::parse("int4_g16_asym").value(), .input = std::nullopt};
  kAwq.writer->complete(wanted, DType::kBF16);
  const Json config = kAwq.writer->write_config(wanted, ignore);
  EXPECT_EQ((*map_from(config))->scheme_of("m"), wanted);
  EXPECT_FALSE((*map_from(config))->scheme_of("lm_head").has_value());
}

TEST_F(Awq, SaysWhatItCannotHold) {
  const auto reason = [](const char* spelling, std::int64_t rows, std::int64_t cols) {
    return kAwq.writer->cannot_hold(
        {.weight = Scheme::parse(spelling).value(), .input = std::nullopt}, rows, cols);
  };
  EXPECT_EQ(reason("int4_g128_asym", 64, 256), std::nullopt);
  EXPECT_NE(reason("int4_g128_sym", 64, 256), std::nullopt);
  EXPECT_NE(reason("int8_g128_asym", 64, 256), std::nullopt);
  EXPECT_NE(reason("int4_channel_asym", 64, 256), std::nullopt);
  EXPECT_NE(reason("int4_g128_asym", 64, 192), std::nullopt);
  EXPECT_NE(reason("int4_g128_asym", 60, 256), std::nullopt);
}

TEST_F(Awq, KeysOfAnotherTypeAreRefused) {
  test::expect_every_key_checked(
      kAwq,
      Json::parse(R"({"quant_method": "awq", "bits": 4, "group_size": 16, "zero_point": true,
                      "sym": false, "version": "gemm", "modules_to_not_convert": ["lm_head"],
                      "extra_config": {}})",
                  "test")
          .value(),
      *container_);
  test::expect_every_key_checked(
      kAwq,
      Json::parse(R"({"quant_method": "awq", "w_bit": 4, "q_group_size": 16})", "test").value(),
      *container_);
  EXPECT_EQ(map_of(R"("w_bit": 8)").error().tensor, "w_bit");
  EXPECT_EQ(map_of(R"("sym": true, "zero_point": true)").error().tensor, "zero_point");
}

// AutoRound and GPTQModel say so of symmetric weights.
TEST_F(Awq, WithoutZeroPointsThoseStoredMustBeTheMiddle) {
  for (const char* settings :
       {R"("group_size": 16, "zero_point": false)", R"("group_size": 16, "sym": true)"}) {
    const LinearScheme symmetric = *(*map_of(settings))->scheme_of("m");
    EXPECT_EQ(symmetric.weight.spelling(), "int4_g16_sym");
    const auto refused = kAwq.unpack(*container_, "m", symmetric, 8, 32);
    ASSERT_FALSE(refused.has_value());
    EXPECT_EQ(refused.error().tensor, "m.qzeros");
    EXPECT_EQ(refused.error().found, "1");
    auto tensors = tensors_of_m();
    tensors[1].bytes = test::repeated(test::raw(0x88888888U), 2);
    const auto middle = test::container_of(tensors, folder_ / "s.safetensors");
    const auto linear = kAwq.unpack(*middle, "m", symmetric, 8, 32);
    ASSERT_TRUE(linear.has_value()) << linear.error().message();
    EXPECT_TRUE(linear->weight.zeros.empty());
    const auto plain = kAwq.unpack(*middle, "m", scheme(), 8, 32);
    std::vector<float> values(8 * 32);
    std::vector<float> wanted(8 * 32);
    linear->weight.decode_rows(0, 8, values.data());
    plain->weight.decode_rows(0, 8, wanted.data());
    EXPECT_EQ(values, wanted);
  }
}

}  // namespace
}  // namespace quantlane
