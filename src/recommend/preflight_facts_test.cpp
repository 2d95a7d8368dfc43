// Facts of real files: what other tools wrote answers as it was seen to.
#include "recommend/preflight_facts.h"

#include <array>
#include <cstring>
#include <map>

#include <gmock/gmock.h>

#include "containers/container_test_files.h"
#include "recommend/preflight_test_facts.h"

namespace quantlane {
namespace {

using test_facts::target;

const Json& headers() {
  static const Json json = Json::parse(test::unpack(fs::path(QUANTLANE_SOURCE_DIR) /
                                                    "tests/data/preflight/headers.json.xz"),
                                       "headers.json")
                               .value();
  return json;
}

std::vector<PlannedTensor> tensors_of(const Json& fixture) {
  std::vector<PlannedTensor> plan;
  for (const Json& row : fixture["tensors"].items()) {
    PlannedTensor tensor{.name = std::string(row.items()[0].string()), .type = {}, .shape = {}};
    tensor.type.plain = *dtype_from_safetensors(row.items()[1].string());
    for (const Json& extent : row.items()[2].items()) tensor.shape.push_back(extent.integer());
    plan.push_back(std::move(tensor));
  }
  return plan;
}

std::vector<std::string> rules_of(const PreflightAnswer& answer, PreflightEffect least) {
  std::vector<std::string> rules;
  for (const PreflightFinding& finding : answer.findings) {
    if (finding.effect >= least) rules.push_back(finding.rule);
  }
  return rules;
}

// Rules that slow or stop a checkpoint, per engine and device. Where the README of the files or a
// run of vLLM says something, it is this; what is not listed loads.
using Expected = std::map<std::string, std::vector<std::string>>;

void expect_answers(const char* engine, const char* device, const Expected& expected) {
  EXPECT_EQ(headers().members().size(), 22U);
  for (const auto& [name, fixture] : headers().members()) {
    const auto facts = planned_artefact_facts(fixture["config"], tensors_of(fixture));
    ASSERT_TRUE(facts.has_value()) << facts.error().message();
    const PreflightAnswer answer = preflight(*facts, target(engine, device));
    const auto row = expected.find(name);
    EXPECT_EQ(rules_of(answer, PreflightEffect::kSlow),
              row == expected.end() ? std::vector<std::string>() : row->second)
        << engine << " on " << device << ": " << name;
  }
}

TEST(PreflightFixtures, AnswerForVllmOnHopper) {
  expect_answers("vllm", "h100-sxm",
                 {{"bnb-nf4", {"unknown-method"}},
                  {"bnb-nf4-double-quant", {"unknown-method"}},
                  {"ct-mxfp4", {"fp4-weight-only"}},
                  {"ct-nvfp4", {"fp4-weight-only"}},
                  {"modelopt-nvfp4", {"fp4-weight-only"}},
                  {"ct-w4a16-gptq-gidx-g128", {"ct-group-order"}},
                  {"gptqmodel-gptq-v1-asym-descact-g128", {"gptq-asymmetric", "gptq-order"}},
                  {"gptqmodel-gptq-v2-asym-descact-g128", {"gptq-asymmetric", "gptq-order"}}});
}

TEST(PreflightFixtures, AnswerForVllmOnAmpere) {
  expect_answers("vllm", "a100",
                 {{"bnb-nf4", {"unknown-method"}},
                  {"bnb-nf4-double-quant", {"unknown-method"}},
                  {"ct-fp8-block", {"fp8-weight-only"}},
                  {"ct-fp8-dynamic-channel", {"fp8-weight-only"}},
                  {"ct-fp8-static-tensor", {"fp8-weight-only"}},
                  {"modelopt-fp8", {"fp8-weight-only"}},
                  {"ct-mxfp4", {"fp4-weight-only"}},
                  {"ct-nvfp4", {"fp4-weight-only"}},
                  {"modelopt-nvfp4", {"fp4-weight-only"}},
                  {"ct-w4a16-gptq-gidx-g128", {"ct-group-order"}},
                  {"gptqmodel-gptq-v1-asym-descact-g128", {"gptq-asymmetric", "gptq-order"}},
                  {"gptqmodel-gptq-v2-asym-descact-g128", {"gptq-asymmetric", "gptq-order"}}});
}

// What vLLM 0.32.0 was seen to do on an AVX-512 CPU.
TEST(PreflightFixtures, AnswerForVllmOnAProcessorAsMeasured) {
  const std::vector<std::string> int4 = {"cpu-int4-slow"};
  expect_answers(
      "vllm", "epyc-turin",
      {{"autoawq-gemm-asym-g128", int4},
       {"autoround-auto_awq-asym-g128", int4},
       {"autoround-auto_gptq-sym-g128", int4},
       {"gptqmodel-gptq-v1-sym-g128", int4},
       {"ct-w4a16-awq-asym-g128", int4},
       {"ct-w4a16-gptq-static-g128", int4},
       {"ct-w4a16-sym-g128", int4},
       {"ct-w4a16-gptq-gidx-g128", {"ct-group-order", "cpu-int4-slow"}},
       {"gptqmodel-gptq-v1-asym-descact-g128", {"cpu-int4-slow", "gptq-asymmetric", "gptq-order"}},
       {"gptqmodel-gptq-v2-asym-descact-g128", {"cpu-int4-slow", "gptq-asymmetric", "gptq-order"}},
       {"ct-fp8-block", {"cpu-fp8-block"}},
       {"ct-fp8-dynamic-channel", {"cpu-fp8-slow"}},
       {"ct-fp8-static-tensor", {"cpu-fp8-slow"}},
       {"modelopt-fp8", {"cpu-fp8-slow"}},
       {"ct-mxfp4", {"cpu-no-fp4"}},
       {"ct-nvfp4", {"cpu-no-fp4"}},
       {"ct-nvfp4a16", {"cpu-no-fp4"}},
       {"modelopt-nvfp4", {"cpu-no-fp4"}},
       {"bnb-nf4", {"unknown-method"}},
       {"bnb-nf4-double-quant", {"unknown-method"}}});
}

TEST(PreflightFixtures, AnswerForTgiOnHopper) {
  const std::vector<std::string> unknown = {"unknown-method"};
  expect_answers("tgi", "h100-sxm",
                 {{"modelopt-fp8", unknown},
                  {"bnb-nf4", unknown},
                  {"bnb-nf4-double-quant", unknown},
                  {"modelopt-nvfp4", {"unknown-method", "tgi-fp4"}},
                  {"ct-mxfp4", {"tgi-fp4"}},
                  {"ct-nvfp4", {"tgi-fp4"}},
                  {"ct-nvfp4a16", {"tgi-fp4"}},
                  {"ct-fp8-block", {"tgi-fp8-block"}},
                  {"ct-w4a16-awq-asym-g128", {"tgi-packed-zeros"}},
                  {"ct-w4a16-gptq-gidx-g128", {"tgi-packed-order"}},
                  {"gptqmodel-gptq-v1-asym-descact-g128", {"tgi-gptq-asymmetric"}},
                  {"gptqmodel-gptq-v2-asym-descact-g128", {"tgi-gptq-asymmetric", "tgi-gptq-v2"}}});
}

TEST(PreflightFixtures, AnswerForTensorRtLlmOnBlackwell) {
  const std::vector<std::string> unknown = {"unknown-method"};
  const std::vector<std::string> integers = {"trt-integers"};
  expect_answers("tensorrt-llm", "b200",
                 {{"autoawq-gemm-asym-g128", unknown},
                  {"autoround-auto_awq-asym-g128", unknown},
                  {"autoround-auto_gptq-sym-g128", unknown},
                  {"gptqmodel-gptq-v1-sym-g128", unknown},
                  {"gptqmodel-gptq-v1-asym-descact-g128", unknown},
                  {"gptqmodel-gptq-v2-asym-descact-g128", unknown},
                  {"bnb-nf4", unknown},
                  {"bnb-nf4-double-quant", unknown},
                  {"ct-w4a16-awq-asym-g128", integers},
                  {"ct-w4a16-gptq-static-g128", integers},
                  {"ct-w4a16-sym-g128", integers},
                  {"ct-w4a16-gptq-gidx-g128", integers},
                  {"ct-fp8-static-tensor", {"trt-fp8-tensor"}},
                  {"ct-mxfp4", {"trt-mxfp4-dense"}},
                  {"ct-nvfp4a16", {"trt-inputs"}},
                  {"ct-int8-w8a8-dynamic", {"trt-int8-as-fp8"}}});
}

// A folder of one small file, as tools write it.
class PreflightFolder : public test::FolderTest {
 protected:
  void put_tensors(const std::vector<PlannedTensor>& plan,
                   const std::vector<std::vector<float>>& values) const {
    const auto writer = create_safetensors(folder_ / "model.safetensors", plan, {});
    ASSERT_TRUE(writer.has_value()) << writer.error().message();
    for (std::size_t i = 0; i < plan.size(); ++i) {
      std::vector<std::byte> bytes(plan[i].size_bytes());
      const auto count = static_cast<std::int64_t>(values[i].size());
      if (is_float(plan[i].type.plain)) {
        encode_plain(plan[i].type.plain, values[i].data(), count, bytes.data());
      }
      ASSERT_TRUE((*writer)->write(i, bytes).has_value());
    }
    ASSERT_TRUE((*writer)->commit().has_value());
  }
  // Every word of integers is `word`, every float 1; group indices are `group`.
  void put_words(const std::vector<PlannedTensor>& plan, std::uint32_t word,
                 std::uint32_t group = 0) const {
    const auto writer = create_safetensors(folder_ / "model.safetensors", plan, {});
    ASSERT_TRUE(writer.has_value()) << writer.error().message();
    for (std::size_t i = 0; i < plan.size(); ++i) {
      std::vector<std::byte> bytes(plan[i].size_bytes());
      if (plan[i].type.plain == DType::kI32) {
        const std::uint32_t& value = plan[i].name.ends_with("g_idx") ? group : word;
        for (std::size_t at = 0; at < bytes.size(); at += 4) std::memcpy(&bytes[at], &value, 4);
      } else if (is_float(plan[i].type.plain)) {
        const std::vector<float> ones(bytes.size() / 2, 1.0F);
        encode_plain(plan[i].type.plain, ones.data(), static_cast<std::int64_t>(ones.size()),
                     bytes.data());
      }
      ASSERT_TRUE((*writer)->write(i, bytes).has_value());
    }
    ASSERT_TRUE((*writer)->commit().has_value());
  }
  void put_config(std::string_view quantization) const {
    (void)put("config.json", R"({"num_attention_heads": 2, "dtype": "float16",
                            "quantization_config": )" +
                                 std::string(quantization) + "}");
  }
  [[nodiscard]] ArtefactFacts read(bool values = true) const {
    auto facts = read_artefact_facts(folder_, values);
    EXPECT_TRUE(facts.has_value()) << facts.error().message();
    return facts.value_or(ArtefactFacts{});
  }
};

constexpr std::string_view kFp8 = R"({"quant_method": "compressed-tensors",
  "format": "float-quantized", "ignore": ["lm_head"], "config_groups": {"group_0": {
    "targets": ["Linear"], "weights": {"num_bits": 8, "type": "float", "strategy": "channel"}}}})";

std::vector<PlannedTensor> fp8_tensors() {
  const auto tensor = [](std::string name, DType type, std::vector<std::int64_t> shape) {
    return PlannedTensor{
        .name = std::move(name), .type = {.plain = type}, .shape = std::move(shape)};
  };
  return {tensor("model.layers.0.mlp.up_proj.weight", DType::kF8E4M3, {2, 4}),
          tensor("model.layers.0.mlp.up_proj.weight_scale", DType::kF32, {2, 1})};
}

TEST_F(PreflightFolder, ZeroAndNotFiniteScalesAreFound) {
  put_config(kFp8);
  const std::vector<float> codes(8, 1.0F);
  const std::array<std::pair<float, std::string>, 4> cases = {
      {{0.5F, ""}, {0.0F, "is zero"}, {-1.0F, ""}, {INFINITY, "is not finite"}}};
  for (const auto& [scale, expected] : cases) {
    put_tensors(fp8_tensors(), {codes, {1.0F, scale}});
    const ArtefactFacts facts = read();
    ASSERT_EQ(facts.linears.size(), 1U);
    if (expected.empty()) {
      EXPECT_EQ(facts.linears[0].bad_scale, "");
    } else {
      EXPECT_THAT(facts.linears[0].bad_scale, testing::HasSubstr("weight_scale[1] " + expected));
    }
  }
  EXPECT_EQ(read(false).linears[0].bad_scale, "");
}

TEST_F(PreflightFolder, CodesOfFp8ThatAreNaNAreFound) {
  put_config(kFp8);
  std::vector<float> codes(8, 1.0F);
  put_tensors(fp8_tensors(), {codes, {1.0F, 1.0F}});
  EXPECT_EQ(read().linears.at(0).bad_code, "");
  codes[6] = NAN;
  put_tensors(fp8_tensors(), {codes, {1.0F, 1.0F}});
  EXPECT_EQ(read().linears.at(0).bad_code, "weight in row 1, column 2 is NaN");
  EXPECT_EQ(read(false).linears.at(0).bad_code, "");
}

// AutoRound folds the sign of a group into its scale; the scales of NVFP4 and of inputs have none.
TEST_F(PreflightFolder, NegativeScalesAreFoundWhereTheFormatHasNone) {
  const auto bad = [&](std::string name, DType type) {
    std::vector<PlannedTensor> plan = fp8_tensors();
    plan[1].name = "model.layers.0.mlp.up_proj." + std::move(name);
    plan[1].type.plain = type;
    put_config(kFp8);
    put_tensors(plan, {std::vector<float>(8, 1.0F), {1.0F, -1.0F}});
    return read().linears.at(0).bad_scale;
  };
  EXPECT_EQ(bad("weight_scale", DType::kBF16), "");
  EXPECT_EQ(bad("weight_scale_inv", DType::kF32), "");
  EXPECT_EQ(bad("scales", DType::kF16), "");
  EXPECT_EQ(bad("weight_scale", DType::kF8E4M3), "weight_scale[1] is negative");
  EXPECT_EQ(bad("weight_global_scale", DType::kF32), "weight_global_scale[1] is negative");
  EXPECT_EQ(bad("input_scale", DType::kF32), "input_scale[1] is negative");
}

TEST_F(PreflightFolder, SchemeShapeAndTypeAreThoseOfTheFiles) {
  put_config(kFp8);
  put_tensors(fp8_tensors(), {std::vector<float>(8, 1.0F), {1.0F, 1.0F}});
  const ArtefactFacts facts = read();
  EXPECT_EQ(facts.dialect, "compressed-tensors");
  EXPECT_EQ(facts.dtype, DType::kF16);
  EXPECT_EQ(facts.linears[0].rows, 2);
  EXPECT_EQ(facts.linears[0].cols, 4);
  ASSERT_TRUE(facts.linears[0].scheme.has_value());
  EXPECT_EQ(facts.linears[0].scheme->weight.spelling(), "fp8_e4m3_channel");
}

TEST_F(PreflightFolder, AConfigurationThatCannotBeReadIsExplainedAndNoError) {
  put_config(R"({"quant_method": "compressed-tensors", "config_groups": {"group_0": {
      "targets": ["Linear"], "weights": {"num_bits": 5, "type": "float"}}}})");
  put_tensors(fp8_tensors(), {std::vector<float>(8, 1.0F), {1.0F, 1.0F}});
  const ArtefactFacts facts = read();
  EXPECT_THAT(facts.unreadable, testing::HasSubstr("num_bits"));
  const PreflightAnswer answer = preflight(facts, target("vllm"));
  EXPECT_THAT(rules_of(answer, PreflightEffect::kRefuse),
              testing::IsSupersetOf({"ct-arguments", "missing-keys"}));
  EXPECT_FALSE(facts.contradictory);
}

// Version 1 stores 7 where version 2 stores 8; both mean the middle of four bits.
TEST_F(PreflightFolder, ZeroPointsOfTheOtherLabelAreFound) {
  const auto tensor = [](std::string name, DType type, std::vector<std::int64_t> shape) {
    return PlannedTensor{
        .name = "m.o_proj." + std::move(name), .type = {.plain = type}, .shape = std::move(shape)};
  };
  const std::vector<PlannedTensor> plan = {
      tensor("qweight", DType::kI32, {4, 8}), tensor("qzeros", DType::kI32, {1, 1}),
      tensor("scales", DType::kF16, {1, 8}), tensor("g_idx", DType::kI32, {32})};
  for (const auto& [word, label] : {std::pair{0x77777777U, "gptq"}, {0x88888888U, "gptq_v2"}}) {
    for (const char* said : {"gptq", "gptq_v2"}) {
      put_config(R"({"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": false,
          "sym": true, "checkpoint_format": ")" +
                 std::string(said) + "\"}");
      put_words(plan, word);
      const ArtefactFacts facts = read();
      ASSERT_EQ(facts.linears.size(), 1U);
      EXPECT_EQ(facts.mismatch, "");
      EXPECT_EQ(facts.linears[0].stored_bits, 4);
      EXPECT_EQ(facts.linears[0].values.has_value(), said != std::string(label)) << said;
      EXPECT_EQ(rules_of(preflight(facts, target("vllm")), PreflightEffect::kWrong),
                said == std::string(label) ? std::vector<std::string>()
                                           : std::vector<std::string>{"zeros-differ"});
    }
  }
}

TEST_F(PreflightFolder, GroupsThatAreNotThereAreNoOtherOrder) {
  const auto tensor = [](std::string name, DType type, std::vector<std::int64_t> shape) {
    return PlannedTensor{
        .name = "m.o_proj." + std::move(name), .type = {.plain = type}, .shape = std::move(shape)};
  };
  for (const char* order : {"true", "false"}) {
    put_config(
        R"({"quant_method": "gptq", "bits": 4, "group_size": 32, "sym": true, "desc_act": )" +
        std::string(order) + "}");
    for (const std::uint32_t group : {7U, 0xFFFFFFFFU}) {
      put_words({tensor("qweight", DType::kI32, {8, 8}), tensor("qzeros", DType::kI32, {2, 1}),
                 tensor("scales", DType::kF16, {2, 8}), tensor("g_idx", DType::kI32, {64})},
                0x77777777U, group);
      const auto found = find_contradictions(read());
      ASSERT_EQ(found.size(), 1U) << order;
      EXPECT_EQ(found[0].rule, "order-out-of-range") << order;
    }
  }
}

// Engines build [out, 1] and compare it with what is stored.
TEST_F(PreflightFolder, ScalesThatLackADimensionOfOneAreFound) {
  put_config(kFp8);
  std::vector<PlannedTensor> plan = fp8_tensors();
  const std::vector<std::vector<float>> values = {std::vector<float>(8, 1.0F), {1.0F, 1.0F}};
  put_tensors(plan, values);
  for (const char* engine : {"vllm", "sglang"}) {
    EXPECT_EQ(rules_of(preflight(read(), target(engine)), PreflightEffect::kRefuse),
              std::vector<std::string>());
  }
  plan[1].shape = {2};
  put_tensors(plan, values);
  const ArtefactFacts facts = read();
  EXPECT_EQ(facts.mismatch, "");
  for (const char* engine : {"vllm", "sglang"}) {
    EXPECT_EQ(rules_of(preflight(facts, target(engine)), PreflightEffect::kRefuse),
              std::vector<std::string>{"tensor-dimensions"})
        << engine;
  }
}

TEST_F(PreflightFolder, TensorsThatTheConfigurationDoesNotAnnounceAreFound) {
  put_config(kFp8);
  std::vector<PlannedTensor> plan = fp8_tensors();
  plan[1].shape = {1, 1};  // of the tensor, where the configuration says channels
  put_tensors(plan, {std::vector<float>(8, 1.0F), {1.0F}});
  const ArtefactFacts facts = read();
  EXPECT_THAT(facts.mismatch, testing::HasSubstr("up_proj.weight_scale"));
  EXPECT_EQ(rules_of(preflight(facts, target("sglang")), PreflightEffect::kRefuse),
            std::vector<std::string>{"tensors-differ"});
}

// A scale that is missing says nothing of codes.
TEST_F(PreflightFolder, MissingScalesAreNoCodesOutOfRange) {
  put_config(kFp8);
  std::vector<PlannedTensor> plan = fp8_tensors();
  plan.push_back({.name = "model.visual.patch_embed.proj.weight",
                  .type = {.plain = DType::kBF16},
                  .shape = {2, 4}});
  const std::vector<float> codes(8, 1.0F);
  put_tensors(plan, {codes, {1.0F, 1.0F}, codes});
  EXPECT_EQ(rules_of(preflight(read(), target("vllm")), PreflightEffect::kUnknown),
            std::vector<std::string>{"targeted-but-plain"});
  plan[2].type.plain = DType::kF8E4M3;
  put_tensors(plan, {codes, {1.0F, 1.0F}, codes});
  EXPECT_EQ(rules_of(preflight(read(), target("vllm")), PreflightEffect::kUnknown),
            (std::vector<std::string>{"tensors-differ", "targeted-but-plain"}));
}

// modules_to_not_convert against the types of the tensors, both ways.
TEST_F(PreflightFolder, ListsOfPlainModulesAreComparedWithTheTensors) {
  const auto tensor = [](std::string name, DType type, std::vector<std::int64_t> shape) {
    return PlannedTensor{
        .name = std::move(name), .type = {.plain = type}, .shape = std::move(shape)};
  };
  put_tensors({tensor("m.up_proj.weight", DType::kF8E4M3, {2, 2}),
               tensor("m.up_proj.weight_scale", DType::kF32, {1}),
               tensor("m.down_proj.weight", DType::kBF16, {2, 2}),
               tensor("m.gate.weight", DType::kBF16, {2, 2})},
              {{1, 1, 1, 1}, {1}, {1, 1, 1, 1}, {1, 1, 1, 1}});
  const auto rules = [&](std::string_view list) {
    put_config(R"({"quant_method": "fp8", "activation_scheme": "dynamic",
        "modules_to_not_convert": [)" +
               std::string(list) + "]}");
    return rules_of(preflight(read(), target("vllm")), PreflightEffect::kWrong);
  };
  using Rules = std::vector<std::string>;
  EXPECT_EQ(rules(R"("m.down_proj")"), Rules{});
  EXPECT_EQ(rules(R"("down_proj", "gate")"), Rules{});
  EXPECT_EQ(rules(""), Rules{"fp8-unlisted"});
  EXPECT_EQ(rules(R"("m.up_proj", "m.down_proj")"), Rules{"quantized-but-kept"});
  EXPECT_EQ(rules(R"("down")"), Rules{"fp8-unlisted"});  // whole parts only
}

TEST_F(PreflightFolder, NothingToJudgeIsAnError) {
  EXPECT_FALSE(read_artefact_facts(folder_ / "absent", true).has_value());
  put_tensors(fp8_tensors(), {std::vector<float>(8, 1.0F), {1.0F, 1.0F}});
  EXPECT_FALSE(read_artefact_facts(folder_, true).has_value());
  (void)put("config.json", "[]");
  EXPECT_EQ(read_artefact_facts(folder_, true).error().code, ErrorCode::kCorrupt);
}

TEST(PreflightFacts, EnginesJoinShardsAndExperts) {
  ArtefactFacts facts = test_facts::compressed("int4_g128_sym");
  for (const char* name : {"0.w1", "0.w2", "1.w3"}) {
    facts.linears.push_back(
        {.module = "model.layers.0.block_sparse_moe.experts." + std::string(name), .scheme = {}});
  }
  std::map<std::string, std::size_t> shards;
  for (const FusedLinears& product : facts.fused()) shards[product.name] = product.shards.size();
  EXPECT_EQ(shards["model.layers.0.self_attn.qkv_proj"], 3U);
  EXPECT_EQ(shards["model.layers.0.mlp.gate_up_proj"], 2U);
  EXPECT_EQ(shards["model.layers.0.mlp.down_proj"], 1U);
  EXPECT_EQ(shards["model.layers.0.block_sparse_moe.experts"], 3U);
}

}  // namespace
}  // namespace quantlane
