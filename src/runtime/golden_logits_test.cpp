// Logits against other implementations: transformers, llama.cpp, compressed-tensors, a float64
// pass.
#include <cmath>
#include <cstring>

#include <gmock/gmock.h>

#include "containers/container.h"
#include "core/file.h"
#include "kernels/ops.h"
#include "runtime/runtime_fixtures.h"

namespace quantlane {
namespace {

using fixtures::load_model;
using fixtures::logits_of;
using fixtures::model_data;
using fixtures::relative_error;
using fixtures::shared_data;

class GoldenFamily : public ::testing::TestWithParam<const char*> {};

// Against transformers 5 in float32 with eager attention (scripts/make_golden_models.py). Measured:
// at most 1e-6 of the range.
TEST_P(GoldenFamily, LogitsAgreeWithTransformers) {
  const auto folder = model_data(GetParam());
  const auto runtime = load_model(folder);
  ASSERT_NE(runtime, nullptr);
  const auto ids = fixtures::ids_of(fixtures::read_json(folder / "golden.json")["token_ids"]);
  const auto golden = fixtures::read_floats(folder / "golden.f32");
  const double error = relative_error(logits_of(*runtime, ids), golden);
  EXPECT_LT(error, 1e-5);
  RecordProperty("relative_error", std::to_string(error));
}

TEST_P(GoldenFamily, ConfigurationInTheOldSpellingMeansTheSame) {
  const auto folder = model_data(GetParam());
  const fixtures::ScratchFolder scratch;
  fs::copy_file(folder / "config.v4.json", scratch.path() / "config.json");
  fs::create_symlink(fs::absolute(folder / "model.safetensors"),
                     scratch.path() / "model.safetensors");
  const auto runtime = load_model(scratch.path());
  ASSERT_NE(runtime, nullptr);
  const auto ids = fixtures::ids_of(fixtures::read_json(folder / "golden.json")["token_ids"]);
  EXPECT_LT(relative_error(logits_of(*runtime, ids), fixtures::read_floats(folder / "golden.f32")),
            1e-5);
}

INSTANTIATE_TEST_SUITE_P(Families, GoldenFamily, ::testing::ValuesIn(fixtures::kFamilies),
                         [](const auto& tested) {
                           std::string name = tested.param;
                           std::erase(name, '-');
                           return name;
                         });

// All experts of a layer in one tensor, as transformers 5 writes them.
TEST(GoldenFused, LogitsAreThoseOfOneTensorPerExpert) {
  for (const char* family : fixtures::kFusedFamilies) {
    const auto runtime = load_model(model_data(family));
    const auto fused = load_model(model_data(std::string(family) + "-fused"));
    ASSERT_TRUE(runtime != nullptr && fused != nullptr);
    const auto ids =
        fixtures::ids_of(fixtures::read_json(model_data(family) / "golden.json")["token_ids"]);
    EXPECT_EQ(logits_of(*fused, ids), logits_of(*runtime, ids)) << family;
  }
}

// Against an independent float64 forward pass of the trained model of llama2.c.
TEST(Stories260K, LogitsAndLossesAgreeWithTheFloat64Pass) {
  const auto folder = model_data("stories260K");
  const auto runtime = load_model(folder);
  ASSERT_NE(runtime, nullptr);
  const Json golden = fixtures::read_json(folder / "golden.json");
  for (const Json& prompt : golden["prompts"].items()) {
    const auto ids = fixtures::ids_of(prompt["ids"]);
    const auto logits = logits_of(*runtime, ids);
    ASSERT_EQ(logits.size(), ids.size() * 512);
    const float* last = &logits[logits.size() - 512];
    for (const Json& entry : prompt["last_logits_top10"].items()) {
      EXPECT_NEAR(last[entry.items()[0].integer()], entry.items()[1].number(), 5e-5);
    }
    const auto& losses = prompt["nll_nats"].items();
    ASSERT_EQ(losses.size(), ids.size() - 1);
    for (std::size_t t = 0; t < losses.size(); ++t) {
      const float* row = &logits[t * 512];
      const double loss = kernels::log_sum_exp(row, 512) - static_cast<double>(row[ids[t + 1]]);
      EXPECT_NEAR(loss, losses[t].number(), 5e-5);
    }
  }
}

TEST(Stories260K, GreedyContinuationTokenByTokenIsTheKnownOne) {
  const auto folder = model_data("stories260K");
  const auto runtime = load_model(folder);
  ASSERT_NE(runtime, nullptr);
  ThreadPool pool(2);
  const Json golden = fixtures::read_json(folder / "golden.json");
  for (const Json& prompt : golden["prompts"].items()) {
    const auto ids = fixtures::ids_of(prompt["ids"]);
    const auto want = fixtures::ids_of(prompt["greedy_next_32"]);
    KvCache cache(runtime->config(), static_cast<std::int64_t>(ids.size() + want.size()));
    Segment segment = {
        .tokens = ids, .cache = &cache, .logits_from = static_cast<std::int64_t>(ids.size()) - 1};
    std::vector<std::int32_t> got;
    std::vector<float> logits;
    while (got.size() < want.size()) {
      ASSERT_TRUE(runtime->forward({&segment, 1}, pool, logits).has_value());
      ASSERT_EQ(logits.size(), 512U);
      got.push_back(static_cast<std::int32_t>(kernels::arg_max(logits.data(), 512)));
      segment = {.tokens = std::span(got).last(1), .cache = &cache, .logits_from = 0};
    }
    EXPECT_EQ(got, want);
  }
}

// Against llama.cpp in float math: F32 weights, and quantized ones that it decoded first.
class GoldenGguf : public ::testing::TestWithParam<const char*> {};

TEST_P(GoldenGguf, LogitsAgreeWithLlamaCpp) {
  const std::string type = GetParam();
  const auto folder = shared_data("formats/gguf-quantized");
  if (!fs::exists(folder)) GTEST_SKIP() << "no fixtures at " << folder;
  const fixtures::ScratchFolder scratch;
  const auto file = scratch.path() / "tiny.gguf";
  ASSERT_TRUE(fixtures::unpack_xz(folder / "gguf" / ("tiny-" + type + ".gguf.xz"), file));
  const auto runtime = load_model(file);
  ASSERT_NE(runtime, nullptr);
  const Json index = fixtures::read_json(folder / "logits/index.json");
  const auto all = logits_of(*runtime, fixtures::ids_of(index["token_ids"]));
  const std::string golden = type == "F32" ? "F32.f32" : type + ".dequantized.f32";
  const auto want = fixtures::read_floats(folder / "logits" / golden);
  std::vector<float> got;
  if (type == "F32") {
    got = all;
  } else {
    for (const Json& position : index["files"][golden]["positions"].items()) {
      const auto row = all.begin() + position.integer() * 512;
      got.insert(got.end(), row, row + 512);
    }
  }
  EXPECT_LT(relative_error(got, want), 1e-5);
}

INSTANTIATE_TEST_SUITE_P(Types, GoldenGguf, ::testing::Values("F32", "Q8_0", "Q4_K", "Q6_K"),
                         [](const auto& tested) { return std::string(tested.param); });

// Checkpoints that other tools quantized, against float32 math with the weights that those decode,
// and for compressed-tensors with activations as that library rounds them.
class GoldenDialects : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    if (!fs::exists(folder_)) GTEST_SKIP() << "no fixtures at " << folder_;
    config_ = fixtures::read_json(folder_ / "config.json");
    // GPTQModel decoded AutoRound's file in its own dtype on a CPU.
    if (std::string(GetParam()) == "autoround-auto_gptq-sym-g128") {
      config_.set("dtype", "bfloat16");
    }
    ASSERT_TRUE(fixtures::unpack_xz(folder_ / "model.safetensors.xz",
                                    scratch_.path() / "model.safetensors"));
  }
  // Logits of the checkpoint with config_.
  [[nodiscard]] std::vector<float> logits() const {
    EXPECT_TRUE(write_text(scratch_.path() / "config.json", config_.dump()).has_value());
    const auto runtime = load_model(scratch_.path());
    if (runtime == nullptr) return {};
    return logits_of(*runtime,
                     fixtures::ids_of(fixtures::read_json(folder_ / "golden.json")["input_ids"]));
  }
  // The same with the decoded weights in their place, so that no input is rounded.
  void dequantize() {
    EXPECT_TRUE(write_text(scratch_.path() / "config.json", config_.dump()).has_value());
    const auto source = fixtures::open_checkpoint(scratch_.path());
    ASSERT_NE(source, nullptr);
    std::vector<PlannedTensor> plan;
    for (const Parameter& p : source->graph()->parameters) {
      plan.push_back(
          {.name = p.name,
           .type = {},
           .shape = is_matrix(p.role) ? std::vector{p.rows, p.cols} : std::vector{p.cols}});
    }
    const auto file = scratch_.path() / "decoded.safetensors";
    const auto writer = create_safetensors(file, plan, {});
    ASSERT_TRUE(writer.has_value()) << writer.error().message();
    for (std::size_t i = 0; i < plan.size(); ++i) {
      const Parameter& p = source->graph()->parameters[i];
      std::vector<float> values(static_cast<std::size_t>(p.rows * p.cols));
      source->weight(p)->decode_rows(0, p.rows, values.data());
      ASSERT_TRUE((*writer)->write(i, std::as_bytes(std::span(values))).has_value());
    }
    ASSERT_TRUE((*writer)->commit().has_value());
    fs::rename(file, scratch_.path() / "model.safetensors");
    config_.erase("quantization_config");
  }
  [[nodiscard]] std::vector<float> golden() const {
    const fixtures::ScratchFolder goldens;
    const auto file = goldens.path() / "golden.safetensors";
    EXPECT_TRUE(fixtures::unpack_xz(folder_ / "golden.safetensors.xz", file));
    const auto container = open_container(file);
    const TensorInfo* tensor = (*container)->find("golden_logits");
    std::vector<float> values(static_cast<std::size_t>(tensor->element_count()));
    EXPECT_TRUE(decode_rows(**container, *tensor, 0, tensor->rows(), values.data()).has_value());
    return values;
  }

  const fs::path folder_ = shared_data("formats/hf-quantized") / GetParam();
  const fixtures::ScratchFolder scratch_;
  Json config_;
};

TEST_P(GoldenDialects, LogitsAgreeWithTheTool) {
  const std::string name = GetParam();
  // These goldens were made without rounding the inputs.
  if (name.starts_with("modelopt")) dequantize();
  const std::vector<float> got = logits();
  const std::vector<float> want = golden();
  const bool rounds_inputs = name.starts_with("ct-") && name.find("a16") == std::string::npos;
  if (!rounds_inputs) {
    EXPECT_LT(relative_error(got, want), 1e-5);
    return;
  }
  // A value that lies at a tie of the activation rounding falls to either side by float rounding,
  // and attention carries the step to later tokens: the tokens before it agree tightly (5 of 48 and
  // more; all of them for NVFP4, MXFP4 and static FP8), the others to the size of some steps
  // (measured: at most 3.5 % of the standard deviation).
  ASSERT_EQ(got.size(), want.size());
  std::size_t tight = 0;
  double squares = 0;
  double want_squares = 0;
  for (std::size_t at = 0; at < want.size(); at += 512) {
    const std::vector<float> got_row(&got[at], &got[at] + 512);
    const std::vector<float> want_row(&want[at], &want[at] + 512);
    if (relative_error(got_row, want_row) < 1e-5) ++tight;
    for (std::size_t i = 0; i < 512; ++i) {
      const double difference = static_cast<double>(got_row[i]) - static_cast<double>(want_row[i]);
      squares += difference * difference;
      want_squares += static_cast<double>(want_row[i]) * static_cast<double>(want_row[i]);
    }
  }
  RecordProperty("tight", static_cast<int>(tight));
  RecordProperty("deviation", std::to_string(std::sqrt(squares / want_squares)));
  EXPECT_GE(tight, 3U);
  EXPECT_LT(std::sqrt(squares / want_squares), 0.04);
}

INSTANTIATE_TEST_SUITE_P(
    Schemes, GoldenDialects,
    ::testing::Values("ct-w4a16-sym-g128", "ct-w4a16-awq-asym-g128", "ct-w4a16-gptq-static-g128",
                      "ct-w4a16-gptq-gidx-g128", "ct-nvfp4a16", "ct-fp8-dynamic-channel",
                      "ct-fp8-static-tensor", "ct-fp8-block", "ct-int8-w8a8-dynamic", "ct-nvfp4",
                      "ct-mxfp4", "autoround-auto_gptq-sym-g128", "gptqmodel-gptq-v1-sym-g128",
                      "gptqmodel-gptq-v1-asym-descact-g128", "gptqmodel-gptq-v2-asym-descact-g128",
                      "autoawq-gemm-asym-g128", "autoround-auto_awq-asym-g128", "modelopt-fp8",
                      "modelopt-nvfp4"),
    [](const auto& tested) {
      std::string name = tested.param;
      std::erase_if(name, [](char c) { return c == '-' || c == '_'; });
      return name;
    });

// No tool on a processor writes DeepSeek's blocks; they are those of compressed-tensors under other
// names, so the logits are the same, bit for bit.
TEST(NativeFp8, BlocksGiveTheLogitsOfCompressedTensors) {
  const auto folder = shared_data("formats/hf-quantized/ct-fp8-block");
  if (!fs::exists(folder)) GTEST_SKIP() << "no fixtures at " << folder;
  const auto ids = fixtures::ids_of(fixtures::read_json(folder / "golden.json")["input_ids"]);
  const fixtures::ScratchFolder scratch;
  const auto file = scratch.path() / "model.safetensors";
  ASSERT_TRUE(fixtures::unpack_xz(folder / "model.safetensors.xz", file));
  fs::copy_file(folder / "config.json", scratch.path() / "config.json");
  const auto compressed = load_model(scratch.path());
  ASSERT_NE(compressed, nullptr);
  const auto want = logits_of(*compressed, ids);

  std::string bytes = read_text(file).value();
  std::uint64_t size = 0;
  std::memcpy(&size, bytes.data(), sizeof size);
  std::string header = bytes.substr(8, size);
  const std::string old_name = ".weight_scale\"";
  for (std::size_t at = 0; (at = header.find(old_name, at)) != std::string::npos; ++at) {
    header.replace(at, old_name.size(), ".weight_scale_inv\"");
  }
  header.append((8 - header.size() % 8) % 8, ' ');
  const std::uint64_t new_size = header.size();
  bytes = bytes.substr(8 + size);
  ASSERT_TRUE(
      write_text(file, std::string(reinterpret_cast<const char*>(&new_size), 8) + header + bytes)
          .has_value());
  Json config = fixtures::read_json(folder / "config.json");
  config.set("quantization_config",
             *Json::parse(R"({"quant_method": "fp8", "activation_scheme": "dynamic", "fmt": "e4m3",
                             "weight_block_size": [128, 128]})",
                          "test"));
  ASSERT_TRUE(write_text(scratch.path() / "config.json", config.dump()).has_value());
  const auto native = load_model(scratch.path());
  ASSERT_NE(native, nullptr);
  EXPECT_EQ(logits_of(*native, ids), want);
}

// Tools write the configuration to a file of its own as well, older ones only there.
class GoldenSideFiles : public GoldenDialects {};

TEST_P(GoldenSideFiles, SayTheSame) {
  const std::vector<float> want = logits();
  config_.erase("quantization_config");
  for (const auto& entry : fs::directory_iterator(folder_)) {
    const std::string name = entry.path().filename().string();
    if (name.find("quant") != std::string::npos) {
      fs::copy_file(entry.path(), scratch_.path() / name);
    }
  }
  EXPECT_EQ(logits(), want);
}

INSTANTIATE_TEST_SUITE_P(Tools, GoldenSideFiles,
                         ::testing::Values("gptqmodel-gptq-v2-asym-descact-g128", "modelopt-fp8",
                                           "modelopt-nvfp4"),
                         [](const auto& tested) {
                           std::string name = tested.param;
                           std::erase(name, '-');
                           return name;
                         });

// The same model as GGUF runs through other names, permuted rows and whole norms; only roundings of
// the epsilon, the attention scale and Gemma's norms differ.
TEST_P(GoldenFamily, GgufOfTheModelAgreesWithTransformers) {
  const auto folder = model_data(GetParam());
  const auto source = fixtures::open_checkpoint(folder);
  ASSERT_NE(source, nullptr);
  const fixtures::ScratchFolder scratch;
  fixtures::write_gguf(*source, scratch.path() / "model.gguf");
  const auto runtime = load_model(scratch.path() / "model.gguf");
  ASSERT_NE(runtime, nullptr);
  const auto ids = fixtures::ids_of(fixtures::read_json(folder / "golden.json")["token_ids"]);
  auto got = logits_of(*runtime, ids);
  auto want = fixtures::read_floats(folder / "golden.f32");
  if (std::string(GetParam()) == "mistral") {
    // GGUF has no key for Mistral's window: only what lies within it can agree.
    got.resize(9 * 96);
    want.resize(9 * 96);
  }
  EXPECT_LT(relative_error(got, want), 1e-5);
}

// The goldens see each of these: a wrong value moves the logits by far more than the tolerance.
TEST(GoldenSensitivity, EveryTermOfTheConfigurationShows) {
  const struct {
    const char* family;
    const char* key;
    const char* value;
  } kChanges[] = {
      {"llama", "rms_norm_eps", "0.001"},
      {"llama", "rope_parameters", R"({"rope_theta": 10000})"},
      {"llama-bias", "rope_parameters", R"({"rope_theta": 20000})"},
      {"mistral", "sliding_window", "10"},
      {"mistral", "sliding_window", "8"},
      {"qwen3", "rope_parameters", R"({"rope_theta": 999000})"},
      {"mixtral", "num_experts_per_tok", "3"},
      {"mixtral", "sliding_window", "20"},
      {"qwen3-moe", "num_experts_per_tok", "2"},
      {"qwen3-moe", "norm_topk_prob", "false"},
      {"qwen3-moe-step", "norm_topk_prob", "true"},
      {"gemma3", "sliding_window", "10"},
      {"gemma3", "query_pre_attn_scalar", "25"},
      {"gemma3", "final_logit_softcapping", "30.0"},
      {"gemma3", "attn_logit_softcapping", "50.0"},
      {"gemma3", "rope_parameters",
       R"({"full_attention": {"rope_theta": 1000000}, "sliding_attention": {"rope_theta": 10000}})"},
      {"gemma3", "layer_types", "null"},
  };
  for (const auto& change : kChanges) {
    const auto folder = model_data(change.family);
    auto edit = fixtures::EditableCheckpoint::read(folder);
    edit.config.set(change.key, *Json::parse(change.value, "test"));
    if (std::string(change.key) == "layer_types") edit.config.set("sliding_window_pattern", 5);
    const fixtures::ScratchFolder scratch;
    edit.write(scratch.path());
    const auto runtime = load_model(scratch.path());
    ASSERT_NE(runtime, nullptr);
    const auto ids = fixtures::ids_of(fixtures::read_json(folder / "golden.json")["token_ids"]);
    EXPECT_GT(
        relative_error(logits_of(*runtime, ids), fixtures::read_floats(folder / "golden.f32")),
        1e-4)
        << change.family << " " << change.key << " " << change.value;
  }
}

}  // namespace
}  // namespace quantlane
