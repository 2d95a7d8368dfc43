// The configuration and damaged tensors; values and bytes: dialect_fixture_test.cpp.
#include "containers/dialects/gptq.h"

#include "containers/dialects/dialect_test_files.h"

namespace quantlane {
namespace {

// Linears "m" and "n" of [32, 64], 4 bits in groups of 32, all codes 3 and all zero points 2.
std::vector<test::StoredTensor> tensors_of(const std::string& module, std::uint32_t zeros) {
  std::string order;
  for (std::int32_t c = 0; c < 64; ++c) order += test::raw(c / 32);
  return {{module + ".qweight", DType::kI32, {8, 32}, test::repeated(test::raw(0x33333333U), 256)},
          {module + ".qzeros", DType::kI32, {2, 4}, test::repeated(test::raw(zeros), 8)},
          {module + ".scales",
           DType::kF16,
           {2, 32},
           test::repeated(test::raw(std::uint16_t{0x3800}), 64)},
          {module + ".g_idx", DType::kI32, {64}, order}};
}

Json config_of(const std::string& text) {
  auto json = Json::parse(text, "config.json");
  EXPECT_TRUE(json.has_value()) << text;
  return json.value_or(Json());
}

class Gptq : public test::FolderTest {
 protected:
  void SetUp() override {
    FolderTest::SetUp();
    auto tensors = tensors_of("m", 0x11111111U);
    for (auto& tensor : tensors_of("n", 0x11111111U)) tensors.push_back(tensor);
    container_ = test::container_of(tensors, folder_ / "mn.safetensors");
  }
  Result<std::unique_ptr<QuantizationMap>> map_of(const Json& config) const {
    return kGptq.read_map({.config = config,
                           .container = *container_,
                           .origin = "config.json",
                           .model_dtype = DType::kF16});
  }
  LinearScheme scheme_of(const std::string& settings) const {
    auto map = map_of(config_of(R"({"quant_method": "gptq", )" + settings + "}"));
    EXPECT_TRUE(map.has_value()) << map.error().message();
    const auto scheme = map ? (*map)->scheme_of("m") : std::nullopt;
    EXPECT_TRUE(scheme.has_value());
    return scheme.value_or(LinearScheme{});
  }
  std::unique_ptr<Container> container_;
};

TEST_F(Gptq, VersionsDifferInTheZeroPointByOne) {
  const LinearScheme scheme = scheme_of(R"("bits": 4, "group_size": 32, "sym": false)");
  for (const auto& [dialect, value] : {std::pair{&kGptq, 0.5F}, std::pair{&kGptqV2, 1.0F}}) {
    const auto linear = dialect->unpack(*container_, "m", scheme, 32, 64);
    ASSERT_TRUE(linear.has_value()) << linear.error().message();
    std::vector<float> values(64 * 32);
    linear->weight.decode_rows(0, 32, values.data());
    EXPECT_EQ(values, std::vector<float>(64 * 32, value));
  }
}

TEST_F(Gptq, ConfigurationNamesWhatIsQuantized) {
  auto map = map_of(config_of(R"({"quant_method": "gptq", "bits": 4, "group_size": 32,
      "desc_act": true, "sym": true, "dynamic": {"-:^n$": {}, "m": {"bits": 8, "group_size": -1},
      "+:.*": {"sym": false}}})"));
  ASSERT_TRUE(map.has_value()) << map.error().message();
  EXPECT_EQ((*map)->scheme_of("n"), std::nullopt);
  EXPECT_EQ((*map)->scheme_of("o"), std::nullopt);  // has no qweight
  const auto scheme = (*map)->scheme_of("m");
  ASSERT_TRUE(scheme.has_value());
  EXPECT_EQ(scheme->weight.spelling(), "int8_channel_sym");
  EXPECT_TRUE(scheme->weight.act_order);
  EXPECT_EQ(scheme->weight.rounding.value, DType::kF16);
}

TEST_F(Gptq, VersionsAreToldApart) {
  EXPECT_TRUE(kGptq.recognises(config_of(R"({"quant_method": "gptq"})")));
  EXPECT_TRUE(kGptq.recognises(config_of(R"({"quant_method": "gptq", "format": "gptq"})")));
  EXPECT_FALSE(kGptqV2.recognises(config_of(R"({"quant_method": "gptq"})")));
  const Json v2 = config_of(R"({"quant_method": "gptq", "checkpoint_format": "gptq_v2"})");
  EXPECT_TRUE(kGptqV2.recognises(v2));
  EXPECT_FALSE(kGptq.recognises(v2));
  const Json auto_round =
      config_of(R"({"quant_method": "auto-round", "packing_format": "auto_round:auto_gptq"})");
  EXPECT_TRUE(kGptq.recognises(auto_round));
  EXPECT_FALSE(kGptq.recognises(config_of(R"({"quant_method": "auto-round"})")));
  EXPECT_FALSE(kGptq.recognises(Json()));
}

TEST_F(Gptq, WhatItCannotReadIsNamed) {
  const std::pair<const char*, const char*> kBad[] = {
      {R"("bits": 5)", "bits"},
      {R"("bits": 4, "group_size": 0)", "group_size"},
      {R"("bits": 4, "group_size": -2)", "group_size"},
      {R"("bits": 4, "group_size": 99999999999)", "group_size"},
      {R"("bits": 4, "checkpoint_format": "gptq_p")", "checkpoint_format"},
      {R"("bits": 4, "is_marlin_format": true)", "is_marlin_format"},
      {R"("bits": 4, "pack_dtype": "int64")", "pack_dtype"},
      {R"("bits": 4, "extra_config": {"m": {"bits": 8}})", "extra_config"},
      {R"("bits": 4, "dynamic": {"+:m": {"bits": 16}})", "dynamic.+:m.bits"}};
  for (const auto& [settings, key] : kBad) {
    const auto map =
        map_of(config_of(R"({"quant_method": "gptq", )" + std::string(settings) + "}"));
    ASSERT_FALSE(map.has_value()) << settings;
    EXPECT_EQ(map.error().code, ErrorCode::kUnsupported);
    EXPECT_EQ(map.error().tensor, key);
  }
  EXPECT_FALSE(
      map_of(config_of(R"({"quant_method": "gptq", "dynamic": {"-:(": {}}})")).has_value());
}

TEST_F(Gptq, EveryTensorIsChecked) {
  const LinearScheme scheme = scheme_of(R"("bits": 4, "group_size": 32, "sym": false)");
  test::expect_every_tensor_checked(kGptq, scheme, tensors_of("m", 0), 32, 64, folder_,
                                    {"m.g_idx"});
  const auto wide = kGptq.unpack(*container_, "m", scheme, 32, std::int64_t{1} << 40);
  EXPECT_EQ(wide.error().tensor, "m.qweight");
  EXPECT_EQ(kGptq.unpack(*container_, "m", scheme, 32, 63).error().tensor, "m");
}

TEST_F(Gptq, LabelsThatContradictTheZerosAreNamed) {
  const LinearScheme scheme = scheme_of(R"("bits": 4, "group_size": 32, "sym": true)");
  const struct {
    const Dialect* dialect;
    std::uint32_t zeros;
    const char* hint;  // nullptr: right
  } kCases[] = {{&kGptq, 0x77777777U, nullptr},
                {&kGptqV2, 0x88888888U, nullptr},
                {&kGptq, 0x88888888U, "checkpoint_format to \"gptq_v2\""},
                {&kGptqV2, 0x77777777U, "checkpoint_format to \"gptq\""},
                {&kGptq, 0x33333333U, "\"sym\" to false"}};
  for (const auto& c : kCases) {
    const auto container = test::container_of(tensors_of("m", c.zeros), folder_ / "z.safetensors");
    const auto linear = c.dialect->unpack(*container, "m", scheme, 32, 64);
    EXPECT_EQ(linear.has_value(), c.hint == nullptr);
    if (c.hint == nullptr) continue;
    EXPECT_EQ(linear.error().tensor, "m.qzeros");
    EXPECT_NE(linear.error().hint.find(c.hint), std::string::npos) << linear.error().hint;
  }
}

TEST_F(Gptq, GroupsInAnotherOrderNeedTheirKey) {
  auto tensors = tensors_of("m", 0x11111111U);
  tensors[3].bytes.replace(0, 4, test::raw(std::int32_t{1}));
  const auto container = test::container_of(tensors, folder_ / "order.safetensors");
  const auto plain = scheme_of(R"("bits": 4, "group_size": 32, "sym": false)");
  const auto refused = kGptq.unpack(*container, "m", plain, 32, 64);
  ASSERT_FALSE(refused.has_value());
  EXPECT_NE(refused.error().hint.find("desc_act"), std::string::npos);
  const auto ordered = scheme_of(R"("bits": 4, "group_size": 32, "sym": false, "desc_act": true)");
  const auto linear = kGptq.unpack(*container, "m", ordered, 32, 64);
  ASSERT_TRUE(linear.has_value()) << linear.error().message();
  EXPECT_EQ(linear->weight.group_of_column[0], 1);
  for (const std::int32_t bad : {2, -1}) {
    tensors[3].bytes.replace(0, 4, test::raw(bad));
    const auto damaged = test::container_of(tensors, folder_ / "order.safetensors");
    EXPECT_EQ(kGptq.unpack(*damaged, "m", ordered, 32, 64).error().tensor, "m.g_idx");
  }
}

TEST_F(Gptq, ConfigurationReadsBackAsWritten) {
  for (const char* spelling : {"int4_g32_sym", "int8_channel_sym", "int3_g32_asym"}) {
    LinearScheme scheme{.weight = Scheme::parse(spelling).value(), .input = std::nullopt};
    kGptqV2.writer->complete(scheme, DType::kF16);
    const std::vector<std::string> ignore = {"lm_head", "n", "a.b"};
    const Json config = kGptqV2.writer->write_config(scheme, ignore);
    EXPECT_TRUE(kGptqV2.recognises(config));
    auto map = map_of(config);
    ASSERT_TRUE(map.has_value()) << map.error().message();
    EXPECT_EQ((*map)->scheme_of("m"), scheme);
    EXPECT_EQ((*map)->scheme_of("n"), std::nullopt);
    EXPECT_TRUE(config["dynamic"].contains("-:^a\\.b$"));
  }
}

TEST_F(Gptq, SaysWhatItCannotHold) {
  const auto reason = [](const Dialect& dialect, const char* spelling, std::int64_t rows,
                         std::int64_t cols) {
    return dialect.writer->cannot_hold(
        {.weight = Scheme::parse(spelling).value(), .input = std::nullopt}, rows, cols);
  };
  EXPECT_EQ(reason(kGptq, "int4_g128_sym", 64, 256), std::nullopt);
  EXPECT_EQ(reason(kGptqV2, "int4_g128_asym", 64, 256), std::nullopt);
  EXPECT_NE(reason(kGptq, "int4_g128_asym", 64, 256), std::nullopt);
  EXPECT_NE(reason(kGptq, "int4_g128_sym", 63, 256), std::nullopt);
  EXPECT_NE(reason(kGptq, "int4_g128_sym", 64, 192), std::nullopt);
  EXPECT_NE(reason(kGptq, "int3_channel_sym", 64, 40), std::nullopt);
  EXPECT_NE(reason(kGptq, "int5_g128_sym", 64, 256), std::nullopt);
  EXPECT_NE(reason(kGptq, "fp8_e4m3_channel", 64, 256), std::nullopt);
  EXPECT_NE(reason(kGptq, "int8_tensor_sym", 64, 256), std::nullopt);
}

TEST_F(Gptq, KeysOfAnotherTypeAreRefused) {
  test::expect_every_key_checked(
      kGptq, config_of(R"({"quant_method": "gptq", "bits": 4, "group_size": 32, "sym": true,
          "desc_act": false, "checkpoint_format": "gptq", "format": "gptq", "lm_head": false,
          "is_marlin_format": false, "pack_dtype": "int32", "extra_config": {},
          "dynamic": {"-:^n$": {}, "+:m": {"bits": 8, "group_size": -1, "sym": false,
          "desc_act": true}}})"),
      *container_);
  EXPECT_EQ(map_of(config_of(R"({"quant_method": "gptq", "lm_head": true})")).error().tensor,
            "lm_head");
  const auto two = map_of(
      config_of(R"({"quant_method": "gptq", "checkpoint_format": "gptq", "format": "gptq_v2"})"));
  EXPECT_EQ(two.error().tensor, "format");
  const auto pattern = map_of(config_of(R"({"quant_method": "gptq", "dynamic": {"-:(": {}}})"));
  EXPECT_EQ(pattern.error().tensor, "dynamic.-:(");
}

}  // namespace
}  // namespace quantlane
