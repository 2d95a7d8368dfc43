// The configuration and damaged tensors; values and bytes: dialect_fixture_test.cpp.
#include "containers/dialects/modelopt.h"

#include <limits>

#include "containers/dialects/dialect_test_files.h"

namespace quantlane {
namespace {

Result<std::unique_ptr<QuantizationMap>> map_from(const Json& config) {
  static const test::NoTensors kEmpty;
  EXPECT_TRUE(kModelOpt.recognises(config));
  return kModelOpt.read_map({.config = config,
                             .container = kEmpty,
                             .origin = "config.json",
                             .model_dtype = DType::kBF16});
}
Result<std::unique_ptr<QuantizationMap>> modelopt_map(const std::string& settings) {
  return map_from(Json::parse(R"({"quant_method": "modelopt", )" + settings + "}", "test").value());
}

LinearScheme scheme_of(const std::string& algorithm) {
  return *(*modelopt_map(R"("quant_algo": ")" + algorithm + "\""))->scheme_of("m");
}

class ModelOpt : public test::FolderTest {
 protected:
  // A Linear "m" [2, 32] of NVFP4.
  std::vector<test::StoredTensor> tensors_ = {
      {"m.weight", DType::kU8, {2, 16}, std::string(32, '\x21')},
      {"m.weight_scale", DType::kF8E4M3, {2, 2}, std::string(4, '\x38')},
      {"m.weight_scale_2", DType::kF32, {}, test::raw(0.25F)},
      {"m.input_scale", DType::kF32, {}, test::raw(0.5F)}};
};

TEST_F(ModelOpt, ScalesOfTheTensorAreFactors) {
  const auto container = test::container_of(tensors_, folder_ / "m.safetensors");
  const auto linear = kModelOpt.unpack(*container, "m", scheme_of("NVFP4"), 2, 32);
  ASSERT_TRUE(linear.has_value()) << linear.error().message();
  EXPECT_EQ(linear->input->static_scale, 0.5F);
  EXPECT_EQ(linear->input->tensor_scale, TensorScale::kMultiplies);
  std::vector<float> row(32);
  linear->weight.decode_rows(1, 1, row.data());
  for (std::size_t c = 0; c < 32; ++c) EXPECT_EQ(row[c], c % 2 == 0 ? 0.125F : 0.25F);
}

TEST_F(ModelOpt, EveryTensorIsChecked) {
  test::expect_every_tensor_checked(kModelOpt, scheme_of("NVFP4"), tensors_, 2, 32, folder_);
  test::expect_every_tensor_checked(kModelOpt, scheme_of("W4A16_NVFP4"),
                                    {tensors_.begin(), tensors_.end() - 1}, 2, 32, folder_);
  test::expect_every_tensor_checked(
      kModelOpt, scheme_of("FP8_PB_WO"),
      {{"m.weight", DType::kF8E4M3, {3, 200}, std::string(600, '\x38')},
       {"m.weight_scale", DType::kF32, {1, 1, 2, 1}, test::repeated(test::raw(1.0F), 2)}},
      3, 200, folder_);
  test::expect_every_tensor_checked(
      kModelOpt, scheme_of("FP8_PER_CHANNEL_PER_TOKEN"),
      {{"m.weight", DType::kF8E4M3, {3, 4}, std::string(12, '\x38')},
       {"m.weight_scale", DType::kF32, {3}, test::repeated(test::raw(1.0F), 3)}},
      3, 4, folder_);
  test::expect_every_tensor_checked(
      kModelOpt, scheme_of("MXFP8"),
      {{"m.weight", DType::kF8E4M3, {1, 64}, std::string(64, '\x38')},
       {"m.weight_scale", DType::kU8, {1, 2}, std::string(2, '\x7F')}},
      1, 64, folder_);
  const auto container = test::container_of(tensors_, folder_ / "m.safetensors");
  EXPECT_EQ(kModelOpt.unpack(*container, "m", scheme_of("NVFP4"), 2, 24).error().tensor, "m");
}

TEST_F(ModelOpt, ScalesThatAreNoScales) {
  for (const std::size_t i : {2, 3}) {
    for (const float bad : {0.0F, -1.0F, std::numeric_limits<float>::infinity()}) {
      auto damaged = tensors_;
      damaged[i].bytes = test::raw(bad);
      const auto container = test::container_of(damaged, folder_ / "m.safetensors");
      const auto linear = kModelOpt.unpack(*container, "m", scheme_of("NVFP4"), 2, 32);
      ASSERT_FALSE(linear.has_value());
      EXPECT_EQ(linear.error().tensor, damaged[i].name);
    }
  }
  tensors_[1].bytes[3] = '\x7F';
  const auto container = test::container_of(tensors_, folder_ / "m.safetensors");
  EXPECT_EQ(kModelOpt.unpack(*container, "m", scheme_of("NVFP4"), 2, 32).error().tensor,
            "m.weight_scale");
}

TEST_F(ModelOpt, ScaledInputsAreRefused) {
  tensors_.push_back({"m.pre_quant_scale", DType::kF32, {32}, std::string(128, '\0')});
  const auto container = test::container_of(tensors_, folder_ / "m.safetensors");
  const auto linear = kModelOpt.unpack(*container, "m", scheme_of("NVFP4"), 2, 32);
  ASSERT_FALSE(linear.has_value());
  EXPECT_EQ(linear.error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(linear.error().tensor, "m.pre_quant_scale");
}

TEST_F(ModelOpt, ListsAreShellPatterns) {
  const auto map = modelopt_map(R"("quant_algo": "FP8", "ignore": ["lm_head", "model.layers.0*"])");
  ASSERT_TRUE(map.has_value());
  EXPECT_FALSE((*map)->scheme_of("lm_head").has_value());
  EXPECT_FALSE((*map)->scheme_of("model.layers.0.mlp.up_proj").has_value());
  EXPECT_TRUE((*map)->scheme_of("model.layers.1.mlp.up_proj").has_value());
}

TEST_F(ModelOpt, MixedPrecisionNamesItsLayers) {
  const auto map = modelopt_map(R"("quant_algo": "MIXED_PRECISION", "quantized_layers": {
      "a": {"quant_algo": "NVFP4", "group_size": 16}, "b": {"quant_algo": "FP8"}})");
  ASSERT_TRUE(map.has_value()) << map.error().message();
  EXPECT_EQ((*map)->scheme_of("a")->weight.spelling(), "nvfp4");
  EXPECT_EQ((*map)->scheme_of("b")->weight.spelling(), "fp8_e4m3_tensor");
  EXPECT_FALSE((*map)->scheme_of("c").has_value());
  EXPECT_FALSE((*modelopt_map(R"("quant_algo": null)"))->scheme_of("a").has_value());
}

TEST_F(ModelOpt, UnknownAlgorithmsAreNamed) {
  for (const char* algorithm : {"W4A8_AWQ", "NVFP4_AWQ", "", "fp8"}) {
    const auto map = modelopt_map(R"("quant_algo": ")" + std::string(algorithm) + "\"");
    ASSERT_FALSE(map.has_value());
    EXPECT_EQ(map.error().code, ErrorCode::kUnsupported);
    EXPECT_EQ(map.error().tensor, "quant_algo");
  }
}

TEST_F(ModelOpt, ConfigurationReadsBackAsWritten) {
  const std::vector<std::string> ignore = {"lm_head"};
  for (const char* algorithm :
       {"FP8", "FP8_PER_CHANNEL_PER_TOKEN", "FP8_PB_WO", "NVFP4", "W4A16_NVFP4", "MXFP8"}) {
    const LinearScheme scheme = scheme_of(algorithm);
    EXPECT_EQ(kModelOpt.writer->cannot_hold(scheme, 256, 256), std::nullopt) << algorithm;
    const Json config = kModelOpt.writer->write_config(scheme, ignore);
    EXPECT_EQ(config["quant_algo"].string(), algorithm);
    for (const Json& read :
         {config, kModelOpt.from_side_file(kModelOpt.writer->to_side_file(config)), [&] {
            Json inner = kModelOpt.writer->to_side_file(config);
            inner.set("quant_method", "modelopt");
            return inner;
          }()}) {
      const auto map = map_from(read);
      ASSERT_TRUE(map.has_value()) << map.error().message();
      EXPECT_EQ((*map)->scheme_of("m"), scheme) << algorithm;
      EXPECT_FALSE((*map)->scheme_of("lm_head").has_value());
    }
  }
}

TEST_F(ModelOpt, SaysWhatItCannotHold) {
  const auto reason = [](const char* weight, std::string_view input, std::int64_t cols) {
    LinearScheme scheme{.weight = Scheme::parse(weight).value(), .input = std::nullopt};
    if (!input.empty()) scheme.input = ActivationScheme::parse(input).value();
    kModelOpt.writer->complete(scheme, DType::kBF16);
    return kModelOpt.writer->cannot_hold(scheme, 64, cols);
  };
  EXPECT_EQ(reason("nvfp4", "nvfp4", 64), std::nullopt);
  EXPECT_NE(reason("nvfp4", "nvfp4", 24), std::nullopt);
  EXPECT_NE(reason("nvfp4", "fp8_e4m3_token", 64), std::nullopt);
  EXPECT_NE(reason("int4_g128_sym", "", 128), std::nullopt);
  EXPECT_NE(reason("fp8_e4m3_tensor", "", 64), std::nullopt);
}

TEST_F(ModelOpt, KeysOfAnotherTypeAreRefused) {
  static const test::NoTensors kEmpty;
  for (const char* config :
       {R"({"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head"],
            "kv_cache_scheme": {"dynamic": false, "num_bits": 8, "type": "float"},
            "config_groups": {"group_0": {"weights": {"num_bits": 4, "type": "float",
            "group_size": 16, "dynamic": false}, "input_activations": {"num_bits": 4,
            "type": "float", "group_size": 16, "dynamic": false}, "targets": ["Linear"]}}})",
        R"({"quant_method": "modelopt", "quantization": {"quant_algo": "NVFP4",
            "kv_cache_quant_algo": "FP8", "group_size": 16, "ignore": ["lm_head"]}})",
        R"({"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION",
            "quantized_layers": {"a": {"quant_algo": "NVFP4", "group_size": 16}}})"}) {
    // What else the cache may be is told from what is read later.
    test::expect_every_key_checked(kModelOpt, Json::parse(config, "test").value(), kEmpty,
                                   {"kv_cache_quant_algo", "kv_cache_scheme", "quantization"});
  }
  for (
      const char* settings :
      {R"("kv_cache_scheme": 7)", R"("kv_cache_scheme": {"type": 7})",
       R"("kv_cache_quant_algo": 7)", R"("quantization": 7)", R"("quantization": null)",
       R"("quant_algo": "MIXED_PRECISION")", R"("quant_algo": "NVFP4", "group_size": 32)",
       R"("quant_algo": "FP8", "config_groups": {"g": {"weights": {"num_bits": 4}}})",
       R"("quant_algo": "FP8", "config_groups": {"g": {"weights": {"dynamic": true}}})",
       R"("quant_algo": "FP8", "config_groups": {"g": {"input_activations": {"dynamic": true}}})",
       R"("quant_algo": "NVFP4", "config_groups": {"g": {"input_activations": {"group_size": 8}}})"}) {
    const auto map = modelopt_map(settings);
    ASSERT_FALSE(map.has_value()) << settings;
    EXPECT_FALSE(map.error().expected.empty() || map.error().found.empty());
  }
  // A side file without the object that it is there for.
  for (const char* side : {"{}", R"({"quantization": null})", R"({"quantization": []})"}) {
    EXPECT_FALSE(map_from(kModelOpt.from_side_file(Json::parse(side, "test").value())).has_value());
  }
}

}  // namespace
}  // namespace quantlane
