// The configuration and damaged tensors; values and bytes: dialect_fixture_test.cpp.
#include "containers/dialects/compressed_tensors.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>

#include "containers/dialects/dialect_test_files.h"

namespace quantlane {
namespace {

QuantizationSource source_of(const Json& config) {
  static const test::NoTensors kEmpty;
  return {
      .config = config, .container = kEmpty, .origin = "config.json", .model_dtype = DType::kBF16};
}

std::unique_ptr<QuantizationMap> map_of(const Json& config) {
  EXPECT_TRUE(kCompressedTensors.recognises(config));
  auto map = kCompressedTensors.read_map(source_of(config));
  EXPECT_TRUE(map.has_value()) << map.error().message();
  return map ? std::move(*map) : nullptr;
}

// ---- configuration ---------------------------------------------------------------------------

// As the dialect completes it; `input` may be empty.
LinearScheme scheme_named(const char* weight, std::string_view input = "") {
  LinearScheme scheme{.weight = Scheme::parse(weight).value(), .input = std::nullopt};
  if (!input.empty()) scheme.input = ActivationScheme::parse(input).value();
  kCompressedTensors.writer->complete(scheme, DType::kBF16);
  return scheme;
}

TEST(CompressedTensors, ConfigurationReadsBackAsWritten) {
  const std::vector<std::string> ignore = {"lm_head", "re:.*gate$"};
  const struct {
    const char* weight;
    const char* input;
    const char* format;
  } kSchemes[] = {{"fp8_e4m3_channel", "fp8_e4m3_token", "float-quantized"},
                  {"fp8_e4m3_tensor", "fp8_e4m3_token", "float-quantized"},
                  {"fp8_e4m3_tensor", "fp8_e4m3_tensor", "float-quantized"},
                  {"fp8_e4m3_b128x128", "fp8_e4m3_g128", "float-quantized"},
                  {"fp8_e4m3_channel", "", "float-quantized"},
                  {"int8_channel_sym", "int8_token", "int-quantized"},
                  {"int8_channel_sym", "int8_tensor", "int-quantized"},
                  {"int4_g128_sym", "", "pack-quantized"},
                  {"int4_g128_asym", "", "pack-quantized"},
                  {"int3_g32_sym", "", "pack-quantized"},
                  {"int8_g128_sym", "", "pack-quantized"},
                  {"int4_channel_sym", "", "pack-quantized"},
                  {"nvfp4", "", "nvfp4-pack-quantized"},
                  {"nvfp4", "nvfp4", "nvfp4-pack-quantized"},
                  {"mxfp4", "", "mxfp4-pack-quantized"},
                  {"mxfp4", "mxfp4", "mxfp4-pack-quantized"},
                  {"mxfp8", "mxfp8", "mxfp8-quantized"}};
  for (const auto& [weight, input, format] : kSchemes) {
    const LinearScheme scheme = scheme_named(weight, input);
    EXPECT_EQ(kCompressedTensors.writer->cannot_hold(scheme, 256, 256), std::nullopt) << weight;
    const Json config = kCompressedTensors.writer->write_config(scheme, ignore);
    EXPECT_EQ(config["format"].string(), format);
    const auto parsed = Json::parse(config.dump(2), "config.json");
    ASSERT_TRUE(parsed.has_value());
    const auto map = map_of(*parsed);
    ASSERT_NE(map, nullptr);
    EXPECT_EQ(map->scheme_of("model.layers.3.mlp.up_proj"), scheme) << weight << " " << input;
    EXPECT_EQ(map->scheme_of("lm_head"), std::nullopt);
    EXPECT_EQ(map->scheme_of("model.layers.3.mlp.gate"), std::nullopt);
    EXPECT_EQ(map->scheme_of("model.layers.3.mlp.gate_proj"), scheme);
  }
}

// The closest target decides, not the first group.
TEST(CompressedTensors, NamedTargetsGoBeforeExpressionsAndClasses) {
  const auto config = Json::parse(R"({"quant_method": "compressed-tensors", "config_groups": {
      "group_0": {"targets": ["Linear"], "weights": {"num_bits": 4, "group_size": 128}},
      "group_1": {"targets": ["re:.*down_proj"], "weights": {"num_bits": 8, "group_size": 128}},
      "group_2": {"targets": ["a.down_proj"], "weights": {"num_bits": 2, "group_size": 128}}}})",
                                  "config.json");
  ASSERT_TRUE(config.has_value());
  const auto map = map_of(*config);
  ASSERT_NE(map, nullptr);
  EXPECT_EQ(map->scheme_of("a.up_proj")->weight.bits, 4);
  EXPECT_EQ(map->scheme_of("b.down_proj")->weight.bits, 8);
  EXPECT_EQ(map->scheme_of("a.down_proj")->weight.bits, 2);
}

TEST(CompressedTensors, GroupsMatchByClassNameAndExpression) {
  const auto config = Json::parse(R"({"quant_method": "compressed-tensors",
      "ignore": ["re:.*lm_head", "model.layers.0.mlp.down_proj"], "config_groups": {
      "group_0": {"targets": ["re:.*self_attn.*"], "weights": {"num_bits": 8, "type": "float",
          "strategy": "channel", "symmetric": true}, "input_activations": {"num_bits": 8,
          "type": "float", "strategy": "token", "dynamic": true, "symmetric": true}},
      "group_1": {"targets": ["model.layers.1.mlp.up_proj"], "weights": {"num_bits": 4,
          "type": "int", "strategy": "group", "group_size": 32, "symmetric": false}},
      "group_2": {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "int",
          "group_size": 64}}}})",
                                  "config.json");
  ASSERT_TRUE(config.has_value());
  const auto map = map_of(*config);
  ASSERT_NE(map, nullptr);
  const auto q = map->scheme_of("model.layers.0.self_attn.q_proj");
  ASSERT_TRUE(q && q->input);
  EXPECT_EQ(q->weight.spelling(), "fp8_e4m3_channel");
  const auto up = map->scheme_of("model.layers.1.mlp.up_proj");
  ASSERT_TRUE(up.has_value());
  EXPECT_EQ(up->weight.group_size, 32);
  EXPECT_FALSE(up->weight.symmetric);
  EXPECT_FALSE(up->input.has_value());
  EXPECT_EQ(map->scheme_of("model.layers.0.mlp.up_proj")->weight.group_size, 64);
  EXPECT_EQ(map->scheme_of("model.lm_head"), std::nullopt);
  EXPECT_EQ(map->scheme_of("model.layers.0.mlp.down_proj"), std::nullopt);
}

TEST(CompressedTensors, WhatItCannotReadIsNamed) {
  const auto error_of = [](const std::string& weights, const std::string& input) {
    const std::string text = R"({"quant_method": "compressed-tensors", "config_groups": {"g":
        {"targets": ["Linear"], "weights": )" +
                             weights + R"(, "input_activations": )" + input + "}}}";
    const auto json = Json::parse(text, "config.json");
    EXPECT_TRUE(json.has_value()) << text;
    const auto map = kCompressedTensors.read_map(source_of(*json));
    EXPECT_FALSE(map.has_value()) << text;
    return map ? std::string() : map.error().message();
  };
  const char* good = R"({"num_bits": 4, "group_size": 128})";
  EXPECT_NE(error_of(R"({"num_bits": 16, "type": "int"})", "null").find("num_bits"),
            std::string::npos);
  EXPECT_NE(error_of(R"({"num_bits": 4, "type": "float"})", "null").find("num_bits"),
            std::string::npos);
  EXPECT_NE(error_of(R"({"num_bits": 8, "strategy": "block"})", "null").find("strategy"),
            std::string::npos);
  EXPECT_NE(error_of(R"({"num_bits": 8, "strategy": "attn_head"})", "null").find("strategy"),
            std::string::npos);
  for (const char* block : {"null", "[128]", "[0, 128]", "[128, -1]", "\"128y128\"", "\"x\""}) {
    const std::string weights =
        R"({"num_bits": 8, "type": "float", "strategy": "block", "block_structure": )";
    EXPECT_NE(error_of(weights + block + "}", "null").find("block_structure"), std::string::npos);
  }
  EXPECT_NE(
      error_of(R"({"num_bits": 4, "type": "float", "symmetric": false, "group_size": 16})", "null")
          .find("symmetric"),
      std::string::npos);
  EXPECT_NE(error_of(R"({"num_bits": 4, "type": "float", "group_size": 15})", "null")
                .find("even group_size"),
            std::string::npos);
  EXPECT_NE(error_of(R"({"num_bits": 8, "strategy": "token"})", "null").find("strategy"),
            std::string::npos);
  EXPECT_NE(error_of(R"({"num_bits": 4, "group_size": 9999999999})", "null").find("group_size"),
            std::string::npos);
  for (const char* input :
       {R"({"num_bits": 8, "strategy": "tensor", "dynamic": true})",
        R"({"num_bits": 8, "strategy": "token", "dynamic": false})",
        R"({"num_bits": 8, "strategy": "tensor", "dynamic": true, "symmetric": false})",
        R"({"num_bits": 8, "type": "float", "strategy": "token", "dynamic": true,
            "symmetric": false})",
        R"({"num_bits": 4, "strategy": "token", "dynamic": true})",
        R"({"num_bits": 8, "type": "int", "group_size": 128, "dynamic": true})",
        R"({"num_bits": 8, "type": "float", "group_size": 128, "dynamic": false})"}) {
    EXPECT_NE(error_of(good, input).find("input_activations"), std::string::npos) << input;
  }
  const auto bad_expression = Json::parse(
      R"({"quant_method": "compressed-tensors", "ignore": ["re:("], "config_groups": {"g": {}}})",
      "config.json");
  EXPECT_FALSE(kCompressedTensors.read_map(source_of(*bad_expression)).has_value());
  const auto no_groups = Json::parse(R"({"quant_method": "compressed-tensors"})", "config.json");
  EXPECT_FALSE(kCompressedTensors.read_map(source_of(*no_groups)).has_value());
  const auto other = Json::parse(R"({"quant_method": "gptq"})", "config.json");
  EXPECT_FALSE(kCompressedTensors.recognises(*other));
  EXPECT_FALSE(kCompressedTensors.recognises(Json()));
}

TEST(CompressedTensors, KeysOfAnotherTypeAreRefused) {
  static const test::NoTensors kEmpty;
  test::expect_every_key_checked(
      kCompressedTensors,
      Json::parse(R"({"quant_method": "compressed-tensors", "format": "mixed-precision",
          "ignore": ["lm_head"], "transform_config": {}, "sparsity_config": {},
          "kv_cache_scheme": {"num_bits": 8, "symmetric": true},
          "config_groups": {"group_0": {"targets": ["Linear"], "format": "pack-quantized",
          "weights": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128,
          "symmetric": false, "dynamic": false, "scale_dtype": "torch.bfloat16"}},
          "group_1": {"targets": ["a"], "format": "float-quantized",
          "weights": {"num_bits": 8, "type": "float", "strategy": "block",
          "block_structure": [128, 128]}, "input_activations": {"num_bits": 8, "type": "float",
          "strategy": "group", "group_size": 128, "dynamic": true, "symmetric": true}}}})",
                  "test")
          .value(),
      kEmpty);
}

TEST(CompressedTensors, KeysThatContradictEachOtherAreRefused) {
  const auto read = [](const std::string& top, const std::string& group) {
    const std::string text = R"({"quant_method": "compressed-tensors", )" + top +
                             R"("config_groups": {"g": {"targets": ["Linear"], )" + group + "}}}";
    const auto json = Json::parse(text, "config.json");
    EXPECT_TRUE(json.has_value()) << text;
    auto map = kCompressedTensors.read_map(source_of(*json));
    return map ? std::string() : map.error().tensor;
  };
  const std::string int4 = R"("weights": {"num_bits": 4, "group_size": 128})";
  EXPECT_EQ(read("", int4), "");
  EXPECT_EQ(read(R"("format": "pack-quantized", )", int4), "");
  EXPECT_EQ(read(R"("format": "bogus", )", int4), "format");
  EXPECT_EQ(read(R"("format": "float-quantized", )", int4), "format");
  EXPECT_EQ(read(R"("format": "nvfp4-pack-quantized", )", int4), "format");
  EXPECT_EQ(read("", R"("format": "mixed-precision", )" + int4), "config_groups.g.format");
  EXPECT_EQ(read(R"("quantization_status": "bogus", )", int4), "quantization_status");
  EXPECT_EQ(read("", R"("weights": {"type": "float", "strategy": "channel"},
                        "input_activations": {"strategy": "token", "dynamic": true})"),
            "config_groups.g.input_activations");
  const auto block = [&](const std::string& input) {
    return read("", R"("weights": {"type": "float", "strategy": "block", "block_structure":
                       [128, 128]}, "input_activations": {"type": "float", )" +
                        input + "}");
  };
  EXPECT_EQ(block(R"("group_size": 128, "dynamic": true)"), "");
  EXPECT_EQ(block(R"("group_size": 64, "dynamic": true)"), "config_groups.g.input_activations");
  EXPECT_EQ(block(R"("group_size": 128, "dynamic": "local")"), "config_groups.g.input_activations");
  EXPECT_EQ(read("", R"("weights": null)"), "config_groups.g.weights");
  EXPECT_EQ(read("", R"("weights": {"num_bits": 4, "group_size": 128, "dynamic": true})"),
            "config_groups.g.weights.dynamic");
  EXPECT_EQ(read("", R"("weights": {"num_bits": 4, "strategy": "group"})"),
            "config_groups.g.weights.group_size");
  EXPECT_EQ(read("", R"("weights": {"num_bits": 4, "group_size": 0})"),
            "config_groups.g.weights.group_size");
  EXPECT_EQ(read("", R"("weights": {"num_bits": 4, "group_size": 128, "actorder": "x"})"),
            "config_groups.g.weights.actorder");
  EXPECT_EQ(read(R"("format": "mxfp4-pack-quantized", )",
                 R"("weights": {"num_bits": 4, "type": "float", "group_size": 32,
                                "scale_dtype": "torch.float8_e4m3fn"})"),
            "config_groups.g.weights.scale_dtype");
  EXPECT_EQ(read(R"("sparsity_config": {"format": "sparse-24-bitmask"}, )", int4),
            "sparsity_config.format");
  const std::string rotation = R"("transform_config": {"config_groups": {"r": {"type": "hadamard",
      "apply": [{"targets": ["Linear"], "location": "weight_output"}, {"location": ")";
  EXPECT_EQ(read(rotation + R"(weight_input"}]}}}, )", int4), "");
  EXPECT_EQ(read(rotation + R"(input"}]}}}, )", int4), "transform_config.config_groups.r");
}

TEST(CompressedTensors, OlderSpellingsAreRead) {
  const auto weight = [](const std::string& args) {
    const auto json = Json::parse(R"({"quant_method": "compressed-tensors", "config_groups":
        {"g": {"targets": ["Linear"], "weights": )" +
                                      args + "}}}",
                                  "config.json");
    const auto map = map_of(*json);
    return map == nullptr ? Scheme{} : map->scheme_of("m")->weight;
  };
  EXPECT_EQ(weight(R"({"num_bits": 4, "group_size": -1})").granularity, Granularity::kChannel);
  EXPECT_EQ(weight(R"({"type": "INT", "strategy": "Channel"})").spelling(), "int8_channel_sym");
  EXPECT_EQ(
      weight(R"({"type": "float", "strategy": "block", "block_structure": "128x64"})").group_size,
      64);
  for (const char* order : {"\"group\"", "\"dynamic\"", "true"}) {
    EXPECT_TRUE(
        weight(R"({"num_bits": 4, "group_size": 32, "actorder": )" + std::string(order) + "}")
            .act_order)
        << order;
  }
  for (const char* order : {"\"weight\"", "\"static\"", "false", "null"}) {
    EXPECT_FALSE(
        weight(R"({"num_bits": 4, "group_size": 32, "actorder": )" + std::string(order) + "}")
            .act_order)
        << order;
  }
}

TEST(CompressedTensors, SaysWhatItCannotHold) {
  const auto reason = [](const char* weight, std::int64_t cols, std::string_view input = "") {
    return kCompressedTensors.writer->cannot_hold(scheme_named(weight, input), 8, cols);
  };
  EXPECT_EQ(reason("int4_g128_sym", 256), std::nullopt);
  EXPECT_EQ(reason("int4_g128_asym", 256), std::nullopt);
  EXPECT_NE(reason("int4_g128_sym", 192), std::nullopt);
  EXPECT_NE(reason("int4_channel_sym", 20), std::nullopt);
  EXPECT_NE(reason("int3_channel_sym", 48), std::nullopt);
  EXPECT_EQ(reason("int8_channel_sym", 20), std::nullopt);
  EXPECT_NE(reason("int8_channel_asym", 20, "int8_token"), std::nullopt);
  EXPECT_EQ(reason("fp8_e4m3_channel", 7, "fp8_e4m3_token"), std::nullopt);
  EXPECT_EQ(reason("fp8_e4m3_b128x128", 7, "fp8_e4m3_g128"), std::nullopt);
  EXPECT_NE(reason("fp8_e4m3_g128", 128), std::nullopt);
  EXPECT_NE(reason("nvfp4", 24), std::nullopt);
  EXPECT_NE(reason("fp4_e2m1_g32", 32), std::nullopt);
  EXPECT_NE(reason("nf4_g64", 64), std::nullopt);
}

// Files of writers before 2026-06 leave the upper bits of each word empty.
TEST(CompressedTensors, PaddedWordsOfOddWidthsAreRead) {
  const fs::path file =
      fs::temp_directory_path() / ("quantlane-padded-" + std::to_string(::getpid()));
  // Row 0: codes -4 .. 3 and so on, in words of ten codes.
  std::string words;
  for (const std::uint32_t word : {0x08FAC688U, 0x3EB1A23EU & 0x3FFFFFFFU, 0x0U, 0x0U}) {
    words += test::raw(word);
  }
  const auto container =
      test::container_of({{"m.weight_packed", DType::kI32, {1, 4}, words},
                          {"m.weight_scale", DType::kF32, {1, 1}, test::raw(2.0F)}},
                         file);
  fs::remove(file);
  const auto linear =
      kCompressedTensors.unpack(*container, "m", scheme_named("int3_g32_sym"), 1, 32);
  ASSERT_TRUE(linear.has_value()) << linear.error().message();
  std::vector<float> row(32);
  linear->weight.decode_rows(0, 1, row.data());
  for (std::size_t c = 0; c < 10; ++c) EXPECT_EQ(row[c], 2.0F * (static_cast<float>(c % 8) - 4));
  EXPECT_EQ(row[31], -8);
}

// ---- damage ----------------------------------------------------------------------------------

class DamagedLinear : public test::FolderTest {
 protected:
  // A Linear "m" [8, 64] of int4 in groups of 32 with the inputs' order.
  std::vector<test::StoredTensor> tensors_ = {
      {"m.weight_packed", DType::kI32, {8, 8}, test::repeated("\x21\x43\x65\x07", 64)},
      {"m.weight_scale", DType::kF32, {8, 2}, test::repeated(test::raw(0.5F), 16)},
      {"m.weight_zero_point", DType::kI32, {1, 2}, test::repeated(test::raw(0x33333333), 2)},
      {"m.weight_g_idx",
       DType::kI32,
       {64},
       test::repeated(test::raw(0), 32) + test::repeated(test::raw(1), 32)}};
  LinearScheme scheme_ = scheme_named("int4_g32_asym");

  test::StoredTensor& stored(const std::string& suffix) {
    for (test::StoredTensor& tensor : tensors_) {
      if (tensor.name.ends_with(suffix)) return tensor;
    }
    ADD_FAILURE() << suffix;
    return tensors_[0];
  }
  Result<StoredLinear> unpack(std::int64_t rows = 8, std::int64_t cols = 64) const {
    const auto container = test::container_of(tensors_, folder_ / "m.safetensors");
    const auto linear = kCompressedTensors.unpack(*container, "m", scheme_, rows, cols);
    EXPECT_EQ(linear.has_value() || !linear.error().message().empty(), true);
    const auto verified = kCompressedTensors.verify(*container, "m", scheme_, rows, cols);
    if (!verified) {
      EXPECT_EQ(verified.error().message(), linear.error().message());
    }
    return linear;
  }
  void expect_refused(const std::string& tensor, const std::string& found, std::int64_t rows = 8,
                      std::int64_t cols = 64) const {
    const auto result = unpack(rows, cols);
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().tensor, tensor) << result.error().message();
    EXPECT_NE(result.error().message().find(found), std::string::npos) << result.error().message();
    EXPECT_NE(result.error().message().find("m.safetensors"), std::string::npos);
  }
};

TEST_F(DamagedLinear, UndamagedDecodes) {
  const auto linear = unpack();
  ASSERT_TRUE(linear.has_value()) << linear.error().message();
  std::vector<float> row(64);
  linear->weight.decode_rows(7, 1, row.data());
  for (std::size_t c = 0; c < 64; ++c) {
    const int code = c % 8 == 7 ? 0 : static_cast<int>(c % 8) + 1;
    EXPECT_EQ(row[c], 0.5F * static_cast<float>(code - 3)) << c;
  }
}
TEST_F(DamagedLinear, WrongType) {
  stored("packed").dtype = DType::kF32;
  expect_refused("m.weight_packed", "f32");
}
TEST_F(DamagedLinear, WrongScaleType) {
  stored("scale").dtype = DType::kI32;
  expect_refused("m.weight_scale", "i32");
}
TEST_F(DamagedLinear, WrongShape) {
  stored("packed").shape = {4, 16};
  expect_refused("m.weight_packed", "[4, 16]");
}
TEST_F(DamagedLinear, ConfigurationOfAnotherSize) {
  expect_refused("m.weight_scale", "[8, 2]", std::int64_t{1} << 40, 64);
  expect_refused("m.weight_scale", "[8, 2]", 8, std::int64_t{1} << 40);
  expect_refused("m", "63 columns", 8, 63);
}
TEST_F(DamagedLinear, MissingScale) {
  tensors_.erase(tensors_.begin() + 1);
  expect_refused("m.weight_scale", "incomplete");
}
TEST_F(DamagedLinear, MissingZeroPoint) {
  tensors_.erase(tensors_.begin() + 2);
  expect_refused("m.weight_zero_point", "incomplete");
}
TEST_F(DamagedLinear, StoredShapeOfAnotherMatrix) {
  const auto shape = [](std::int64_t rows, std::int64_t cols) {
    return test::raw(rows) + test::raw(cols);
  };
  tensors_.push_back({"m.weight_shape", DType::kI64, {2}, shape(8, 64)});
  EXPECT_TRUE(unpack().has_value());
  for (const auto& wrong : {shape(8, 63), shape(64, 8), shape(0, 0), shape(-8, 64)}) {
    tensors_.back().bytes = wrong;
    expect_refused("m.weight_shape", "[8, 64]");
  }
  tensors_.back() = {"m.weight_shape", DType::kF32, {2}, std::string(8, '\0')};
  expect_refused("m.weight_shape", "f32");
}
TEST_F(DamagedLinear, PlainWeightWithoutScales) {
  tensors_ = {{"m.weight", DType::kF32, {8, 64}, std::string(2048, '\0')}};
  expect_refused("m.weight_scale", "stored unquantized");
}
TEST_F(DamagedLinear, BytesThatHoldMoreThanTheBitsSay) {
  tensors_ = {{"m.weight", DType::kI8, {8, 64}, std::string(512, '\x03')},
              {"m.weight_scale", DType::kF32, {8, 1}, test::repeated(test::raw(0.5F), 8)}};
  scheme_ = scheme_named("int3_channel_sym");
  EXPECT_TRUE(unpack().has_value());
  for (const char wrong : {'\x04', '\xFB'}) {
    tensors_[0].bytes[100] = wrong;
    const auto linear = unpack();
    ASSERT_FALSE(linear.has_value());
    EXPECT_EQ(linear.error().tensor, "m.weight");
    EXPECT_NE(linear.error().hint.find("num_bits"), std::string::npos);
  }
}
TEST_F(DamagedLinear, ScaleIsNotFinite) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    stored("scale").bytes.replace(4 * 9, 4, test::raw(bad));
    expect_refused("m.weight_scale", "scale 9 is not finite");
  }
}
TEST_F(DamagedLinear, GroupIndexOutOfRange) {
  for (const std::int32_t bad : {2, -1, std::numeric_limits<std::int32_t>::min()}) {
    stored("g_idx").bytes.replace(std::size_t{4} * 63, 4, test::raw(bad));
    expect_refused("m.weight_g_idx", std::to_string(bad));
  }
}
TEST_F(DamagedLinear, GroupIndexOfAnotherWidth) {
  stored("g_idx").shape = {32, 2};
  expect_refused("m.weight_g_idx", "[32, 2]");
}

// A Linear "m" [4, 32] of NVFP4 with rounded inputs.
class DamagedNvfp4 : public test::FolderTest {
 protected:
  std::vector<test::StoredTensor> tensors_ = {
      {"m.weight_packed", DType::kU8, {4, 16}, std::string(64, '\x21')},
      {"m.weight_scale", DType::kF8E4M3, {4, 2}, std::string(8, '\x38')},
      {"m.weight_global_scale", DType::kF32, {1}, test::raw(4.0F)},
      {"m.input_global_scale", DType::kF32, {1}, test::raw(8.0F)}};
  Result<StoredLinear> unpack() const {
    const auto container = test::container_of(tensors_, folder_ / "m.safetensors");
    return kCompressedTensors.unpack(*container, "m", scheme_named("nvfp4", "nvfp4"), 4, 32);
  }
  void expect_refused(const std::string& tensor, const std::string& found) const {
    const auto result = unpack();
    ASSERT_FALSE(result.has_value());
    EXPECT_EQ(result.error().tensor, tensor) << result.error().message();
    EXPECT_NE(result.error().message().find(found), std::string::npos) << result.error().message();
  }
};

TEST_F(DamagedNvfp4, UndamagedDecodes) {
  const auto linear = unpack();
  ASSERT_TRUE(linear.has_value()) << linear.error().message();
  EXPECT_EQ(linear->input->static_scale, 8);
  std::vector<float> row(32);
  linear->weight.decode_rows(3, 1, row.data());
  for (std::size_t c = 0; c < 32; ++c) EXPECT_EQ(row[c], c % 2 == 0 ? 0.125F : 0.25F);
}
TEST_F(DamagedNvfp4, EveryTensorIsChecked) {
  test::expect_every_tensor_checked(kCompressedTensors, scheme_named("nvfp4", "nvfp4"), tensors_, 4,
                                    32, folder_);
  const std::vector<test::StoredTensor> block = {
      {"m.weight", DType::kF8E4M3, {3, 5}, std::string(15, '\x38')},
      {"m.weight_scale", DType::kF32, {2, 3}, test::repeated(test::raw(1.0F), 6)},
      {"m.input_scale", DType::kBF16, {1}, test::raw(std::uint16_t{0x3F80})}};
  test::expect_every_tensor_checked(
      kCompressedTensors, scheme_named("fp8_e4m3_b2x2", "fp8_e4m3_tensor"), block, 3, 5, folder_);
}
TEST_F(DamagedNvfp4, ScalesThatAreNoScales) {
  tensors_[1].bytes[5] = '\x7F';
  expect_refused("m.weight_scale", "scale 5 is not finite");
  tensors_[1].bytes[5] = '\x38';
  for (const float bad : {0.0F, -1.0F, std::numeric_limits<float>::infinity()}) {
    tensors_[2].bytes = test::raw(bad);
    expect_refused("m.weight_global_scale", "");
    tensors_[2].bytes = test::raw(1.0F);
    tensors_[3].bytes = test::raw(bad);
    expect_refused("m.input_global_scale", "");
    tensors_[3].bytes = test::raw(1.0F);
  }
}

TEST_F(DamagedNvfp4, ExponentsThatAreNoNumbers) {
  const auto container =
      test::container_of({{"m.weight_packed", DType::kU8, {1, 16}, std::string(16, '\x21')},
                          {"m.weight_scale", DType::kU8, {1, 1}, "\xFF"}},
                         folder_ / "mx.safetensors");
  const auto linear = kCompressedTensors.unpack(*container, "m", scheme_named("mxfp4"), 1, 32);
  ASSERT_FALSE(linear.has_value());
  EXPECT_NE(linear.error().message().find("scale 0 is not finite"), std::string::npos);
}

}  // namespace
}  // namespace quantlane
