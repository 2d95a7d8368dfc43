#include "containers/dialects/fp8_native.h"

#include <limits>

#include "containers/dialects/dialect_test_files.h"
#include "containers/dialects/part_collector.h"
#include "core/half.h"

namespace quantlane {
namespace {

class Fp8Native : public test::FolderTest {
 protected:
  // A Linear "m" [3, 5] in blocks of 2 x 4, "plain" of bf16.
  std::vector<test::StoredTensor> tensors_ = {
      {"m.weight",
       DType::kF8E4M3,
       {3, 5},
       std::string("\x38\x40\x7E\x01\xB8", 5) + std::string(10, '\x38')},
      {"m.weight_scale_inv",
       DType::kF32,
       {2, 2},
       test::raw(0.5F) + test::raw(2.0F) + test::raw(4.0F) + test::raw(8.0F)}};

  Result<std::unique_ptr<QuantizationMap>> map_of(const std::string& settings) {
    auto tensors = tensors_;
    tensors.push_back({"plain.weight", DType::kBF16, {1, 1}, std::string(2, '\0')});
    container_ = test::container_of(tensors, folder_ / "m.safetensors");
    config_ = Json::parse(R"({"quant_method": "fp8")" + settings + "}", "test").value();
    EXPECT_TRUE(kFp8Native.recognises(config_));
    return kFp8Native.read_map({.config = config_,
                                .container = *container_,
                                .origin = "config.json",
                                .model_dtype = DType::kBF16});
  }
  LinearScheme scheme_of(const std::string& settings) {
    auto map = map_of(settings);
    EXPECT_TRUE(map.has_value()) << map.error().message();
    return (*map)->scheme_of("m").value_or(LinearScheme{});
  }
  std::unique_ptr<Container> container_;
  Json config_;
};

TEST_F(Fp8Native, BlocksAreMultipliedWithTheirScale) {
  const LinearScheme scheme = scheme_of(R"(, "weight_block_size": [2, 4])");
  EXPECT_EQ(scheme.weight.spelling(), "fp8_e4m3_b2x4");
  EXPECT_EQ(scheme.input->group_size, 4);
  const auto linear = kFp8Native.unpack(*container_, "m", scheme, 3, 5);
  ASSERT_TRUE(linear.has_value()) << linear.error().message();
  std::vector<float> values(15);
  linear->weight.decode_rows(0, 3, values.data());
  EXPECT_EQ(values, (std::vector<float>{0.5F, 1, 224, 0x1p-10F, -2, 0.5F, 0.5F, 0.5F, 0.5F, 2, 4, 4,
                                        4, 4, 8}));
}

TEST_F(Fp8Native, TypesTellWhatIsQuantized) {
  auto map = map_of(R"(, "weight_block_size": [2, 4], "modules_to_not_convert": ["lm_head"])");
  ASSERT_TRUE(map.has_value());
  EXPECT_TRUE((*map)->scheme_of("m").has_value());
  EXPECT_FALSE((*map)->scheme_of("plain").has_value());
  EXPECT_FALSE((*map)->scheme_of("missing").has_value());
}

TEST_F(Fp8Native, TensorScalesAndStaticInputs) {
  tensors_ = {{"m.weight", DType::kF8E4M3, {2, 2}, std::string(4, '\x40')},
              {"m.weight_scale", DType::kF32, {}, test::raw(0.25F)},
              {"m.input_scale", DType::kF32, {}, test::raw(3.0F)}};
  const LinearScheme scheme = scheme_of(R"(, "activation_scheme": "static")");
  const auto linear = kFp8Native.unpack(*container_, "m", scheme, 2, 2);
  ASSERT_TRUE(linear.has_value()) << linear.error().message();
  EXPECT_EQ(linear->input->static_scale, 3);
  std::vector<float> values(2);
  linear->weight.decode_rows(1, 1, values.data());
  EXPECT_EQ(values, (std::vector<float>{0.5F, 0.5F}));
  test::expect_every_tensor_checked(kFp8Native, scheme, tensors_, 2, 2, folder_);
  const LinearScheme dynamic = scheme_of("");
  EXPECT_EQ(dynamic.input->granularity, Granularity::kToken);
  for (const float bad : {0.0F, -1.0F, std::numeric_limits<float>::quiet_NaN()}) {
    tensors_[2].bytes = test::raw(bad);
    const auto damaged = test::container_of(tensors_, folder_ / "d.safetensors");
    EXPECT_EQ(kFp8Native.unpack(*damaged, "m", scheme, 2, 2).error().tensor, "m.input_scale");
  }
}

TEST_F(Fp8Native, EveryTensorIsChecked) {
  const LinearScheme scheme = scheme_of(R"(, "weight_block_size": [2, 4])");
  test::expect_every_tensor_checked(kFp8Native, scheme, tensors_, 3, 5, folder_);
  EXPECT_EQ(kFp8Native.unpack(*container_, "m", scheme, 3, std::int64_t{1} << 40).error().tensor,
            "m.weight");
}

TEST_F(Fp8Native, WhatItCannotReadIsNamed) {
  for (const auto& [settings, key] :
       {std::pair{R"(, "fmt": "e5m2")", "fmt"},
        {R"(, "scale_fmt": "ue8m0")", "scale_fmt"},
        {R"(, "activation_scheme": "x")", "activation_scheme"},
        {R"(, "weight_block_size": [128])", "weight_block_size"},
        {R"(, "weight_block_size": [0, 128])", "weight_block_size"},
        {R"(, "weight_block_size": [128, 99999999999])", "weight_block_size"},
        {R"(, "weight_block_size": [128, 128], "activation_scheme": "static")",
         "activation_scheme"}}) {
    const auto map = map_of(settings);
    ASSERT_FALSE(map.has_value()) << settings;
    EXPECT_EQ(map.error().tensor, key);
  }
}

TEST_F(Fp8Native, PacksWhatItReadsAndReadsItsConfiguration) {
  const std::vector<std::string> ignore = {"lm_head"};
  for (const char* settings :
       {R"(, "weight_block_size": [2, 4])", R"(, "activation_scheme": "static")"}) {
    if (std::string(settings).find("static") != std::string::npos) {
      tensors_ = {{"m.weight", DType::kF8E4M3, {2, 2}, std::string(4, '\x40')},
                  {"m.weight_scale", DType::kF32, {}, test::raw(0.25F)},
                  {"m.input_scale", DType::kF32, {}, test::raw(3.0F)}};
    }
    const LinearScheme scheme = scheme_of(settings);
    const std::int64_t rows = tensors_[0].shape[0];
    const std::int64_t cols = tensors_[0].shape[1];
    const auto linear = kFp8Native.unpack(*container_, "m", scheme, rows, cols);
    ASSERT_TRUE(linear.has_value()) << linear.error().message();
    const LinearScheme stored{.weight = linear->weight.scheme, .input = linear->input};
    // Half blocks are read, and refused when something new is to be written.
    const bool blocks = stored.weight.granularity == Granularity::kBlock;
    EXPECT_EQ(kFp8Native.writer->cannot_hold(stored, rows, cols).has_value(), blocks);
    const auto plan = kFp8Native.writer->plan("m", stored, rows, cols);
    const auto parts = kFp8Native.writer->pack(stored, linear->weight, rows);
    ASSERT_EQ(parts.size(), tensors_.size());
    for (std::size_t i = 0; i < parts.size(); ++i) {
      EXPECT_EQ(plan[i].tensor.name, tensors_[i].name);
      EXPECT_EQ(plan[i].tensor.shape, tensors_[i].shape);
      EXPECT_TRUE(std::ranges::equal(parts[i], test::bytes_of(tensors_[i].bytes)));
    }
    const Json config = kFp8Native.writer->write_config(scheme, ignore);
    EXPECT_EQ(config["modules_to_not_convert"].items().size(), 1U);
    const auto map = kFp8Native.read_map({.config = config,
                                          .container = *container_,
                                          .origin = "config.json",
                                          .model_dtype = DType::kBF16});
    ASSERT_TRUE(map.has_value());
    EXPECT_EQ((*map)->scheme_of("m"), scheme);
  }
}

TEST_F(Fp8Native, SaysWhatItCannotHold) {
  const auto reason = [](const char* weight, std::string_view input) {
    LinearScheme scheme{.weight = Scheme::parse(weight).value(), .input = std::nullopt};
    if (!input.empty()) scheme.input = ActivationScheme::parse(input).value();
    return kFp8Native.writer->cannot_hold(scheme, 256, 256);
  };
  EXPECT_EQ(reason("fp8_e4m3_b128x128", "fp8_e4m3_g128"), std::nullopt);
  EXPECT_EQ(reason("fp8_e4m3_tensor", "fp8_e4m3_token"), std::nullopt);
  EXPECT_EQ(reason("fp8_e4m3_tensor", "fp8_e4m3_tensor"), std::nullopt);
  const LinearScheme blocks{.weight = Scheme::parse("fp8_e4m3_b128x128").value(),
                            .input = ActivationScheme::parse("fp8_e4m3_g128").value()};
  EXPECT_NE(kFp8Native.writer->cannot_hold(blocks, 256, 576), std::nullopt);
  EXPECT_NE(kFp8Native.writer->cannot_hold(blocks, 192, 256), std::nullopt);
  EXPECT_NE(reason("fp8_e4m3_b128x128", "fp8_e4m3_token"), std::nullopt);
  EXPECT_NE(reason("fp8_e4m3_channel", "fp8_e4m3_token"), std::nullopt);
  EXPECT_NE(reason("fp8_e4m3_tensor", ""), std::nullopt);
  EXPECT_NE(reason("int8_tensor_sym", "int8_token"), std::nullopt);
}

TEST_F(Fp8Native, KeysOfAnotherTypeAreRefused) {
  const auto config = [](const std::string& block) {
    return Json::parse(R"({"quant_method": "fp8", "fmt": "e4m3", "scale_fmt": "float",
        "activation_scheme": "dynamic", "modules_to_not_convert": ["lm_head"],
        "ignored_layers": ["lm_head"], "weight_block_size": )" +
                           block + "}",
                       "test")
        .value();
  };
  ASSERT_TRUE(map_of("").has_value());
  test::expect_every_key_checked(kFp8Native, config("[2, 4]"), *container_);
  for (const char* block : {"[]", "[128,128,128]", "[128,1.5]", "[128,\"128\"]", "[128,null]",
                            "[-128,128]", "128", "\"128x128\"", "{}", "false"}) {
    const auto map = map_of(R"(, "weight_block_size": )" + std::string(block));
    ASSERT_FALSE(map.has_value()) << block;
    EXPECT_EQ(map.error().tensor, "weight_block_size");
    EXPECT_NE(map.error().expected.find("two integers"), std::string::npos);
    EXPECT_EQ(map.error().found, block);
    EXPECT_FALSE(map.error().hint.empty());
  }
  EXPECT_TRUE(map_of(R"(, "weight_block_size": null, "fmt": "float8_e4m3fn")").has_value());
}

}  // namespace
}  // namespace quantlane
