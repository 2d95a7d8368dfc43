// Reads what llm-compressor wrote (golden: the values that compressed-tensors decodes), writes the
// same bytes back, and refuses damaged tensors by name.
#include "containers/dialects/compressed_tensors.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>

#include "containers/container_test_files.h"
#include "core/hash.h"

namespace quantlane {
namespace {

constexpr const char* kFixtures[] = {"ct-fp8-dynamic-channel",    "ct-int8-w8a8-dynamic",
                                     "ct-w4a16-sym-g128",         "ct-w4a16-awq-asym-g128",
                                     "ct-w4a16-gptq-static-g128", "ct-w4a16-gptq-gidx-g128"};

Json read_json(const fs::path& path) {
  const auto text = read_text(path);
  EXPECT_TRUE(text.has_value()) << path;
  auto json = Json::parse(text.value_or("null"), path.string());
  EXPECT_TRUE(json.has_value()) << path;
  return json.value_or(Json());
}

std::unique_ptr<QuantizationMap> map_of(const Json& config) {
  EXPECT_TRUE(kCompressedTensors.recognises(config));
  auto map = kCompressedTensors.read_config(config, "config.json");
  EXPECT_TRUE(map.has_value()) << map.error().message();
  return map ? std::move(*map) : nullptr;
}

std::string decoded_sha256(const QuantTensor& tensor) {
  std::vector<float> values(static_cast<std::size_t>(tensor.rows * tensor.cols));
  tensor.decode_rows(0, tensor.rows, values.data());
  return sha256_hex(std::as_bytes(std::span(values)));
}

// The tensors of `module` as plan() and pack_rows() write them, `step` rows at a time, must be the
// stored ones.
void expect_same_bytes(const Container& container, std::string_view module,
                       const LinearScheme& scheme, const QuantTensor& tensor, std::int64_t step) {
  const auto plan = kCompressedTensors.plan(module, scheme, tensor.rows, tensor.cols);
  std::vector<std::vector<std::byte>> parts(plan.size());
  const auto groups = tensor.scheme.groups_per_row(tensor.cols);
  for (std::int64_t r = 0; r < tensor.rows; r += step) {
    QuantTensor slice;
    slice.scheme = tensor.scheme;
    slice.rows = std::min(step, tensor.rows - r);
    slice.cols = tensor.cols;
    slice.codes.assign(tensor.codes.begin() + r * tensor.cols,
                       tensor.codes.begin() + (r + slice.rows) * tensor.cols);
    slice.scales.assign(tensor.scales.begin() + r * groups,
                        tensor.scales.begin() + (r + slice.rows) * groups);
    kCompressedTensors.pack_rows(slice, r == 0, tensor.rows, parts);
  }
  for (std::size_t i = 0; i < plan.size(); ++i) {
    const TensorInfo* stored = container.find(plan[i].name);
    ASSERT_NE(stored, nullptr) << plan[i].name;
    EXPECT_EQ(plan[i].type, stored->type) << plan[i].name;
    EXPECT_EQ(plan[i].shape, stored->shape) << plan[i].name;
    const auto bytes = container.bytes(*stored);
    if (plan[i].name.ends_with("weight_shape") && tensor.rows == 8) {
      const std::int64_t shape[2] = {tensor.rows, tensor.cols};
      EXPECT_EQ(std::memcmp(parts[i].data(), shape, sizeof(shape)), 0);
      continue;  // a slice in the committed file: its shape is that of the slice
    }
    ASSERT_EQ(parts[i].size(), bytes.size()) << plan[i].name;
    EXPECT_EQ(std::memcmp(parts[i].data(), bytes.data(), bytes.size()), 0) << plan[i].name;
  }
}

std::unique_ptr<Container> open_packed(const fs::path& packed) {
  const fs::path file =
      fs::temp_directory_path() / ("quantlane-packed-" + std::to_string(::getpid()));
  EXPECT_TRUE(write_text(file, test::unpack(packed)).has_value());
  auto container = open_container(file);
  fs::remove(file);
  EXPECT_TRUE(container.has_value()) << container.error().message();
  return container ? std::move(*container) : nullptr;
}

class CompressedTensorsFixture : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(Files, CompressedTensorsFixture, testing::ValuesIn(kFixtures),
                         [](const auto& fixture) {
                           std::string name = fixture.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST_P(CompressedTensorsFixture, CommittedRowsDecodeBitExactAndPackBack) {
  const fs::path folder = test::committed("compressed_tensors");
  const Json index = read_json(folder / "slices.json");
  const Json entry = index[GetParam()];
  const auto container = open_container(folder / "slices.safetensors");
  ASSERT_TRUE(container.has_value()) << container.error().message();
  const auto map = map_of(entry["quantization_config"]);
  const auto scheme = map->scheme_of("model.layers.0.self_attn.k_proj");
  ASSERT_TRUE(scheme.has_value());
  EXPECT_FALSE(map->scheme_of("lm_head").has_value());
  const auto tensor = kCompressedTensors.unpack(**container, GetParam(), *scheme,
                                                entry["rows"].integer(), entry["cols"].integer());
  ASSERT_TRUE(tensor.has_value()) << tensor.error().message();
  EXPECT_EQ(decoded_sha256(*tensor), entry["sha256_f32"].string());
  if (scheme->weight.symmetric) {
    expect_same_bytes(**container, GetParam(), *scheme, *tensor, 3);
    expect_same_bytes(**container, GetParam(), *scheme, *tensor, 8);
  }
}

TEST_P(CompressedTensorsFixture, WholeFileDecodesBitExactAndPacksBack) {
  const fs::path folder = test::shared_formats() / "hf-quantized" / GetParam();
  if (!fs::exists(folder)) GTEST_SKIP() << "no fixtures in " << folder;
  const auto container = open_packed(folder / "model.safetensors.xz");
  ASSERT_NE(container, nullptr);
  const auto map = map_of(read_json(folder / "config.json")["quantization_config"]);
  std::int64_t checked = 0;
  const Json goldens = read_json(folder / "golden.json");
  for (const auto& [module, golden] : goldens["weights"].members()) {
    const auto scheme = map->scheme_of(module);
    ASSERT_TRUE(scheme.has_value()) << module;
    const auto tensor =
        kCompressedTensors.unpack(*container, module, *scheme, golden["shape"].items()[0].integer(),
                                  golden["shape"].items()[1].integer());
    ASSERT_TRUE(tensor.has_value()) << tensor.error().message();
    EXPECT_EQ(decoded_sha256(*tensor), golden["sha256_f32"].string()) << module;
    if (scheme->weight.symmetric) expect_same_bytes(*container, module, *scheme, *tensor, 100);
    ++checked;
  }
  EXPECT_EQ(checked, 14);
}

// ---- configuration ---------------------------------------------------------------------------

LinearScheme scheme_named(const char* spelling, bool rounds_inputs) {
  LinearScheme scheme{.weight = Scheme::parse(spelling).value(), .input = std::nullopt};
  if (rounds_inputs) scheme.input = ActivationScheme{.type = scheme.weight.type};
  return scheme;
}

TEST(CompressedTensors, ConfigurationReadsBackAsWritten) {
  const std::vector<std::string> ignore = {"lm_head", "re:.*gate$"};
  for (const auto& [spelling, rounds, format] :
       {std::tuple{"fp8_e4m3_channel", true, "float-quantized"},
        std::tuple{"fp8_e4m3_tensor", true, "float-quantized"},
        std::tuple{"int8_channel_sym", true, "int-quantized"},
        std::tuple{"int4_g128_sym", false, "pack-quantized"},
        std::tuple{"int4_g32_sym", false, "pack-quantized"},
        std::tuple{"int8_g128_sym", false, "pack-quantized"},
        std::tuple{"int4_channel_sym", false, "pack-quantized"}}) {
    const LinearScheme scheme = scheme_named(spelling, rounds);
    const Json config = kCompressedTensors.write_config(scheme, ignore);
    EXPECT_EQ(config["format"].string(), format);
    const auto parsed = Json::parse(config.dump(2), "config.json");
    ASSERT_TRUE(parsed.has_value());
    const auto map = map_of(*parsed);
    ASSERT_NE(map, nullptr);
    EXPECT_EQ(map->scheme_of("model.layers.3.mlp.up_proj"), scheme) << spelling;
    EXPECT_EQ(map->scheme_of("lm_head"), std::nullopt);
    EXPECT_EQ(map->scheme_of("model.layers.3.mlp.gate"), std::nullopt);
    EXPECT_EQ(map->scheme_of("model.layers.3.mlp.gate_proj"), scheme);
  }
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
    const auto map = kCompressedTensors.read_config(*json, "config.json");
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
  EXPECT_NE(error_of(R"({"num_bits": 8, "strategy": "token"})", "null").find("strategy"),
            std::string::npos);
  EXPECT_NE(error_of(R"({"num_bits": 4, "group_size": 9999999999})", "null").find("group_size"),
            std::string::npos);
  EXPECT_NE(error_of(good, R"({"num_bits": 8, "strategy": "tensor", "dynamic": false})")
                .find("input_activations"),
            std::string::npos);
  const auto bad_expression = Json::parse(
      R"({"quant_method": "compressed-tensors", "ignore": ["re:("], "config_groups": {"g": {}}})",
      "config.json");
  EXPECT_FALSE(kCompressedTensors.read_config(*bad_expression, "config.json").has_value());
  const auto no_groups = Json::parse(R"({"quant_method": "compressed-tensors"})", "config.json");
  EXPECT_FALSE(kCompressedTensors.read_config(*no_groups, "config.json").has_value());
  const auto other = Json::parse(R"({"quant_method": "gptq"})", "config.json");
  EXPECT_FALSE(kCompressedTensors.recognises(*other));
  EXPECT_FALSE(kCompressedTensors.recognises(Json()));
}

TEST(CompressedTensors, SaysWhatItCannotHold) {
  const auto reason = [](const char* spelling, std::int64_t cols) {
    return kCompressedTensors.cannot_hold(scheme_named(spelling, false), 8, cols);
  };
  EXPECT_EQ(reason("int4_g128_sym", 256), std::nullopt);
  EXPECT_NE(reason("int4_g128_sym", 192), std::nullopt);
  EXPECT_NE(reason("int4_channel_sym", 20), std::nullopt);
  EXPECT_EQ(reason("int8_channel_sym", 20), std::nullopt);
  EXPECT_EQ(kCompressedTensors.cannot_hold(scheme_named("fp8_e4m3_channel", true), 8, 7),
            std::nullopt);
  EXPECT_NE(reason("int4_g128_asym", 256), std::nullopt);
}

// ---- damage ----------------------------------------------------------------------------------

struct Stored {
  std::string name;
  DType dtype;
  std::vector<std::int64_t> shape;
  std::string bytes;
};

std::string repeated(const std::string& item, std::size_t count) {
  std::string text;
  while (count-- > 0) text += item;
  return text;
}

class DamagedLinear : public test::FolderTest {
 protected:
  // A Linear "m" [8, 64] of int4 in groups of 32 with the inputs' order.
  std::vector<Stored> tensors_ = {
      {"m.weight_packed", DType::kI32, {8, 8}, repeated("\x21\x43\x65\x07", 64)},
      {"m.weight_scale", DType::kF32, {8, 2}, repeated(test::raw(0.5F), 16)},
      {"m.weight_zero_point", DType::kI32, {1, 2}, repeated(test::raw(0x33333333), 2)},
      {"m.weight_g_idx",
       DType::kI32,
       {64},
       repeated(test::raw(0), 32) + repeated(test::raw(1), 32)}};
  LinearScheme scheme_ = scheme_named("int4_g32_asym", false);

  Stored& stored(const std::string& suffix) {
    for (Stored& tensor : tensors_) {
      if (tensor.name.ends_with(suffix)) return tensor;
    }
    ADD_FAILURE() << suffix;
    return tensors_[0];
  }
  Result<QuantTensor> unpack(std::int64_t rows = 8, std::int64_t cols = 64) const {
    std::vector<PlannedTensor> plan;
    for (const Stored& tensor : tensors_)
      plan.push_back({.name = tensor.name, .type = {.plain = tensor.dtype}, .shape = tensor.shape});
    const auto writer = create_safetensors(folder_ / "m.safetensors", plan, {});
    EXPECT_TRUE(writer.has_value());
    for (std::size_t i = 0; i < tensors_.size(); ++i)
      EXPECT_TRUE((*writer)->write(i, test::bytes_of(tensors_[i].bytes)).has_value());
    EXPECT_TRUE((*writer)->commit().has_value());
    const auto container = open_container(folder_ / "m.safetensors");
    EXPECT_TRUE(container.has_value());
    return kCompressedTensors.unpack(**container, "m", scheme_, rows, cols);
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
  const auto tensor = unpack();
  ASSERT_TRUE(tensor.has_value()) << tensor.error().message();
  std::vector<float> row(64);
  tensor->decode_rows(7, 1, row.data());
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
  expect_refused("m.weight_scale", "ignore");
}
TEST_F(DamagedLinear, MissingZeroPoint) {
  tensors_.erase(tensors_.begin() + 2);
  expect_refused("m.weight_zero_point", "ignore");
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

}  // namespace
}  // namespace quantlane
