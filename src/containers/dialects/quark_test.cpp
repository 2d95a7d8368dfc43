// Quark as its documents and vLLM's reader describe it; no file of the tool was at hand.
#include "containers/dialects/quark.h"

#include <gmock/gmock.h>

#include "containers/dialects/dialect_test_files.h"

namespace quantlane {
namespace {

Result<std::unique_ptr<QuantizationMap>> quark_map(const std::string& settings,
                                                   const std::string& exported = "{}") {
  static const test::NoTensors kEmpty;
  const Json config =
      Json::parse(R"({"quant_method": "quark", "export": )" + exported + ", " + settings + "}",
                  "test")
          .value();
  EXPECT_TRUE(kQuark.recognises(config));
  return kQuark.read_map({.config = config,
                          .container = kEmpty,
                          .origin = "config.json",
                          .model_dtype = DType::kBF16});
}

const std::string kFp8 = R"({"dtype": "fp8_e4m3", "qscheme": "per_tensor", "is_dynamic": false})";
const std::string kFp8Rows = R"({"dtype": "fp8_e4m3", "qscheme": "per_channel"})";
const std::string kDynamic =
    R"({"dtype": "fp8_e4m3", "qscheme": "per_channel", "is_dynamic": true})";
const std::string kInt8 = R"({"dtype": "int8", "qscheme": "per_channel", "symmetric": true})";
const std::string kFp4 = R"({"dtype": "fp4", "qscheme": "per_group", "group_size": 32,
                             "scale_format": "e8m0", "is_dynamic": false})";
const std::string kFp4Inputs = R"({"dtype": "fp4", "qscheme": "per_group", "group_size": 32,
                                   "scale_format": "e8m0", "is_dynamic": true})";

std::string global(const std::string& weight, const std::string& inputs = "null") {
  return R"("global_quant_config": {"weight": )" + weight + R"(, "input_tensors": )" + inputs + "}";
}

LinearScheme quark_scheme(const std::string& settings) {
  const auto map = quark_map(settings);
  EXPECT_TRUE(map.has_value()) << map.error().message();
  return *(*map)->scheme_of("m");
}

TEST(Quark, SchemesAreThoseOfTheSpecifications) {
  const LinearScheme fixed = quark_scheme(global(kFp8, kFp8));
  EXPECT_EQ(fixed.weight.spelling(), "fp8_e4m3_tensor");
  EXPECT_FALSE(fixed.input->dynamic);
  const LinearScheme tokens = quark_scheme(global(kFp8Rows, kDynamic));
  EXPECT_EQ(tokens.weight.spelling(), "fp8_e4m3_channel");
  EXPECT_EQ(tokens.input->granularity, Granularity::kToken);
  EXPECT_EQ(quark_scheme(global(kInt8)).weight.spelling(), "int8_channel_sym");
  const LinearScheme fp4 = quark_scheme(global(kFp4, kFp4Inputs));
  EXPECT_EQ(fp4.weight.spelling(), "mxfp4");
  EXPECT_EQ(fp4.input->group_size, 32);
}

TEST(Quark, ExcludedModulesAndLayersComeBeforeTheRest) {
  const auto map = quark_map(global(kFp8) + R"(, "exclude": ["lm_head", "re:.*gate$"],
      "layer_quant_config": {"*down_proj": {"weight": )" +
                             kFp4 + "}}");
  ASSERT_TRUE(map.has_value()) << map.error().message();
  EXPECT_FALSE((*map)->scheme_of("lm_head").has_value());
  EXPECT_FALSE((*map)->scheme_of("model.layers.0.mlp.gate").has_value());
  EXPECT_EQ((*map)->scheme_of("model.layers.0.mlp.down_proj")->weight.spelling(), "mxfp4");
  EXPECT_EQ((*map)->scheme_of("model.layers.0.mlp.up_proj")->weight.spelling(), "fp8_e4m3_tensor");
}

// As the tool writes models with an FP8 cache: the outputs of k and v, which no product rounds.
TEST(Quark, OutputsOfTheCacheGroupAreTheCache) {
  const std::string with_outputs = R"({"weight": )" + kFp8 + R"(, "input_tensors": )" + kFp8 +
                                   R"(, "output_tensors": )" + kFp8 + "}";
  const std::string layers =
      R"(, "layer_quant_config": {"*k_proj": )" + with_outputs + R"(, "*v_proj": )" + with_outputs;
  const std::string group = R"({"kv_cache_group": ["*k_proj", "*v_proj"], "min_kv_scale": 0.0})";
  const auto map = quark_map(global(kFp8, kFp8) + layers + "}", group);
  ASSERT_TRUE(map.has_value()) << map.error().message();
  EXPECT_EQ((*map)->kv_scheme, "fp8");
  EXPECT_EQ((*map)->scheme_of("model.layers.0.self_attn.k_proj"),
            (*map)->scheme_of("model.layers.0.self_attn.q_proj"));
  // vLLM leaves the outputs of q out as well.
  EXPECT_TRUE(quark_map(global(kFp8) + layers + R"(, "*q_proj": )" + with_outputs + "}", group));
  // Outputs of others, or of these where they are no cache, would be rounded.
  EXPECT_FALSE(quark_map(global(kFp8) + layers + R"(, "*o_proj": )" + with_outputs + "}", group));
  EXPECT_FALSE(quark_map(global(kFp8) + layers + "}"));
  const std::string int8 = R"({"weight": )" + kFp8 + R"(, "output_tensors": )" + kInt8 + "}";
  const auto unknown =
      quark_map(global(kFp8) + R"(, "layer_quant_config": {"*k_proj": )" + int8 + "}", group);
  ASSERT_TRUE(unknown.has_value()) << unknown.error().message();
  EXPECT_NE((*unknown)->kv_unknown.find("int8"), std::string::npos);
}

TEST(Quark, Fp8HasNoZeroPointWhateverItsSymmetryIsCalled) {
  for (const std::string symmetric : {"null", "false", "true"}) {
    const std::string spec = R"({"dtype": "fp8_e4m3", "qscheme": "per_tensor", "is_dynamic": false,
                                 "symmetric": )" +
                             symmetric + "}";
    EXPECT_EQ(quark_scheme(global(spec, spec)).weight.spelling(), "fp8_e4m3_tensor") << symmetric;
  }
  EXPECT_FALSE(
      quark_map(global(R"({"dtype": "int8", "qscheme": "per_tensor", "symmetric": false})"))
          .has_value());
}

TEST(Quark, WhatItCannotReadIsNamed) {
  const std::string int4 = R"({"dtype": "int4", "qscheme": "per_group", "group_size": 128})";
  EXPECT_EQ(quark_map(global(int4)).error().tensor, "global_quant_config.weight");
  EXPECT_EQ(quark_map(global("[" + kFp8 + "]")).error().tensor, "global_quant_config.weight");
  EXPECT_EQ(quark_map(global(kFp8, int4)).error().tensor, "global_quant_config.input_tensors");
  EXPECT_EQ(quark_map(global(kFp8) + R"(, "layer_type_quant_config": {"x": 1})").error().tensor,
            "layer_type_quant_config");
}

TEST(Quark, RotationsAsTheModelRunsAreRefused) {
  const auto with = [](const std::string& algorithms) {
    return quark_map(global(kFp8) + R"(, "algo_config": )" + algorithms);
  };
  const std::string awq = R"({"name": "awq", "scaling_layers": []})";
  const std::string merged = R"({"name": "rotation", "r1": true, "r2": true, "r3": false})";
  EXPECT_TRUE(with("null").has_value());
  EXPECT_TRUE(with("[" + awq + ", " + merged + "]").has_value());
  EXPECT_TRUE(with(merged).has_value());
  for (const std::string key : {"r3", "r4", "online_r1_rotation", "online_had"}) {
    const std::string online = R"({"name": "rotation", ")" + key + R"(": true})";
    for (const std::string& given : {online, "[" + awq + ", " + online + "]"}) {
      const auto map = with(given);
      ASSERT_FALSE(map.has_value()) << given;
      EXPECT_EQ(map.error().tensor, "algo_config") << given;
      EXPECT_NE(map.error().found.find(key), std::string::npos) << map.error().found;
    }
  }
}

class QuarkFiles : public test::FolderTest {};

TEST_F(QuarkFiles, EveryTensorIsChecked) {
  test::expect_every_tensor_checked(kQuark, quark_scheme(global(kFp8, kFp8)),
                                    {{"m.weight", DType::kF8E4M3, {2, 4}, std::string(8, '\x38')},
                                     {"m.weight_scale", DType::kF32, {}, test::raw(0.5F)},
                                     {"m.input_scale", DType::kF32, {1}, test::raw(0.5F)}},
                                    2, 4, folder_);
  test::expect_every_tensor_checked(
      kQuark, quark_scheme(global(kFp4)),
      {{"m.weight", DType::kU8, {2, 16}, std::string(32, '\x21')},
       {"m.weight_scale", DType::kU8, {2, 1}, std::string(2, '\x7F')}},
      2, 32, folder_);
}

TEST_F(QuarkFiles, ValuesAreCodesTimesScales) {
  const LinearScheme fp4 = quark_scheme(global(kFp4));
  const auto container =
      test::container_of({{"m.weight", DType::kU8, {1, 16}, std::string(16, '\x21')},
                          {"m.weight_scale", DType::kU8, {1, 1}, std::string(1, '\x80')}},  // 2^1
                         folder_ / "m.safetensors");
  const auto linear = kQuark.unpack(*container, "m", fp4, 1, 32);
  ASSERT_TRUE(linear.has_value()) << linear.error().message();
  std::vector<float> row(32);
  linear->weight.decode_rows(0, 1, row.data());
  for (std::size_t c = 0; c < 32; ++c) EXPECT_EQ(row[c], c % 2 == 0 ? 1.0F : 2.0F);
}

TEST(Quark, KeysOfAnotherTypeAreRefused) {
  static const test::NoTensors kEmpty;
  test::expect_every_key_checked(kQuark,
                                 Json::parse(R"({"quant_method": "quark", "exclude": ["lm_head"],
          "layer_type_quant_config": {}, "kv_cache_quant_config": {"*k_proj": {"output_tensors":
          {"dtype": "fp8_e4m3"}}}, "global_quant_config": {"output_tensors": null,
          "weight": {"dtype": "int8", "qscheme": "per_channel", "ch_axis": 0, "symmetric": true,
          "is_dynamic": false}, "input_tensors": {"dtype": "int8", "qscheme": "per_tensor",
          "symmetric": true, "is_dynamic": false}}, "layer_quant_config": {"*down_proj":
          {"weight": {"dtype": "fp4", "qscheme": "per_group", "group_size": 32,
          "scale_format": "e8m0", "is_dynamic": false}}}})",
                                             "test")
                                     .value(),
                                 kEmpty, {"kv_cache_quant_config"});
  const std::string rounded = R"({"weight": )" + kFp8 + R"(, "bias": )" + kFp8 + "}";
  for (const std::string& settings :
       {R"("global_quant_config": )" + rounded, R"("kv_cache_quant_config": 7, )" + global(kFp8),
        R"("kv_cache_quant_config": {"k": {"output_tensors": 7}}, )" + global(kFp8),
        global(R"({"dtype": "int8", "qscheme": "per_channel", "ch_axis": 1})"),
        global(R"({"dtype": "int8", "qscheme": "per_channel", "is_dynamic": true})"),
        global(R"({"dtype": "fp4", "qscheme": "per_group", "group_size": 32, "ch_axis": 0,
                   "scale_format": "e8m0"})"),
        global(R"({"dtype": "fp4", "qscheme": "per_group", "group_size": 32, "symmetric": false,
                   "scale_format": "e8m0"})"),
        global("null", kFp8), global(kInt8, R"({"dtype": "int8", "qscheme": "per_tensor",
                                                "is_dynamic": true, "symmetric": false})")}) {
    const auto map = quark_map(settings);
    ASSERT_FALSE(map.has_value()) << settings;
    EXPECT_FALSE(map.error().expected.empty() || map.error().found.empty());
  }
}

}  // namespace
}  // namespace quantlane
