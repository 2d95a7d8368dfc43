#include "model/checkpoint.h"

#include <cstring>

#include <gmock/gmock.h>

#include "core/check.h"
#include "core/file.h"
#include "core/half.h"
#include "model/checkpoint_fixtures.h"

namespace quantlane {
namespace {

using ::testing::HasSubstr;

std::vector<float> values_of(const Checkpoint& checkpoint, const Parameter& parameter) {
  const auto weight = checkpoint.weight(parameter);
  EXPECT_TRUE(weight.has_value()) << weight.error().message();
  std::vector<float> values(static_cast<std::size_t>(parameter.rows * parameter.cols));
  weight->decode_rows(0, parameter.rows, values.data());
  return values;
}

TEST(CheckpointOpen, GivesEveryParameterOfAFolder) {
  for (const char* family : fixtures::kFamilies) {
    const auto checkpoint = fixtures::open_checkpoint(fixtures::model_data(family));
    ASSERT_NE(checkpoint, nullptr);
    EXPECT_EQ(checkpoint->dialect(), nullptr);
    std::uint64_t values = 0;
    for (const Parameter& parameter : checkpoint->graph()->parameters) {
      const TensorInfo* stored = checkpoint->stored(parameter).tensor;
      ASSERT_NE(stored, nullptr);
      values += static_cast<std::uint64_t>(stored->element_count());
      const auto weight = checkpoint->weight(parameter);
      ASSERT_TRUE(weight.has_value());
      EXPECT_EQ(weight->encoding(), "bf16");
      // Both ways to the values agree.
      const auto decoded = values_of(*checkpoint, parameter);
      ASSERT_NE(weight->bf16_rows(), nullptr);
      EXPECT_EQ(weight->f32_rows(), nullptr);
      EXPECT_EQ(decoded.back(), bf16_to_f32(weight->bf16_rows()[decoded.size() - 1]));
    }
    EXPECT_EQ(checkpoint->parameter_count(), values);
    EXPECT_EQ(checkpoint->size_bytes(), size_on_disk(checkpoint->container().files()[0]));
  }
}

TEST(CheckpointOpen, GgufOfTheSameModelGivesTheSameValuesAndConfiguration) {
  for (const char* family : fixtures::kFamilies) {
    const auto folder = fixtures::open_checkpoint(fixtures::model_data(family));
    ASSERT_NE(folder, nullptr);
    const fixtures::ScratchFolder scratch;
    const auto path = scratch.path() / "model.gguf";
    fixtures::write_gguf(*folder, path);
    const auto gguf = fixtures::open_checkpoint(path);
    ASSERT_NE(gguf, nullptr);
    EXPECT_TRUE(gguf->config_json().is_null());
    EXPECT_EQ(gguf->graph()->config.tied_embeddings, folder->graph()->config.tied_embeddings);
    EXPECT_EQ(gguf->graph()->config.attention_bias, folder->graph()->config.attention_bias);
    EXPECT_EQ(gguf->graph()->config.attention_output_bias,
              folder->graph()->config.attention_output_bias);
    ASSERT_EQ(gguf->graph()->parameters.size(), folder->graph()->parameters.size());
    for (std::size_t i = 0; i < gguf->graph()->parameters.size(); ++i) {
      const Parameter& parameter = gguf->graph()->parameters[i];
      EXPECT_EQ(parameter.name, folder->graph()->parameters[i].name);
      const auto got = values_of(*gguf, parameter);
      const auto want = values_of(*folder, folder->graph()->parameters[i]);
      ASSERT_EQ(got.size(), want.size());
      for (std::size_t v = 0; v < got.size(); ++v) {
        // One rounding where one was added and taken away again.
        ASSERT_NEAR(got[v], want[v], 1.2e-7) << parameter.name << " value " << v;
      }
    }
  }
}

TEST(CheckpointOpen, TensorsOfAGgufFileThatTheModelHasNoPlaceForAreNamed) {
  const auto folder = fixtures::open_checkpoint(fixtures::model_data("llama"));
  ASSERT_NE(folder, nullptr);
  const fixtures::ScratchFolder scratch;
  const auto path = scratch.path() / "model.gguf";
  fixtures::write_gguf(*folder, path);
  std::string file = read_text(path).value();
  // The value follows the key and its type, both of 4 bytes.
  const std::string key = "llama.block_count";
  file[file.find(key) + key.size() + 4] = 1;
  ASSERT_TRUE(write_text(path, file).has_value());
  const auto refused = Checkpoint::open(path);
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().tensor, HasSubstr("blk.1."));
  EXPECT_THAT(refused.error().expected, HasSubstr("1 layers"));
}

TEST(CheckpointOpen, RecoversLlama3ScalingFromTheTensorOfDivisors) {
  for (const std::int64_t context : {8192, 128}) {
    auto edit = fixtures::EditableCheckpoint::read(fixtures::model_data("llama"));
    Json rope = *Json::parse(R"({"rope_type": "llama3", "rope_theta": 500000, "factor": 32,
                                 "low_freq_factor": 1, "high_freq_factor": 4})",
                             "test");
    rope.set("original_max_position_embeddings", context);
    edit.config.set("rope_parameters", rope);
    const fixtures::ScratchFolder scratch;
    edit.write(scratch.path());
    const auto folder = fixtures::open_checkpoint(scratch.path());
    ASSERT_NE(folder, nullptr);
    fixtures::write_gguf(*folder, scratch.path() / "model.gguf");
    const auto gguf = fixtures::open_checkpoint(scratch.path() / "model.gguf");
    ASSERT_NE(gguf, nullptr);
    ModelConfig read = gguf->graph()->config;
    read.rope_divisors.clear();
    EXPECT_EQ(rope_frequency_divisors(read), rope_frequency_divisors(folder->graph()->config));
    EXPECT_EQ(read.rope_scaling.factor, 32);
  }
}

TEST(CheckpointOpen, FindsTheDecoderOfMultimodalNames) {
  for (const char* prefix : {"language_model.model.", "model.language_model."}) {
    auto edit = fixtures::EditableCheckpoint::read(fixtures::model_data("gemma3"));
    for (auto& tensor : edit.tensors) {
      tensor.plan.name = prefix + tensor.plan.name.substr(std::strlen("model."));
    }
    const Json inner = edit.config;
    edit.config = Json::object({{"text_config", inner}});
    edit.config.set("architectures", Json::array().push("Gemma3ForConditionalGeneration"));
    const fixtures::ScratchFolder scratch;
    edit.write(scratch.path());
    const auto checkpoint = fixtures::open_checkpoint(scratch.path());
    ASSERT_NE(checkpoint, nullptr);
    EXPECT_EQ(checkpoint->graph()->parameters[1].name,
              std::string(prefix) + "layers.0.input_layernorm.weight");
  }
}

TEST(CheckpointOpen, TiedModelsMayStoreTheHeadToo) {
  auto edit = fixtures::EditableCheckpoint::read(fixtures::model_data("qwen2"));
  auto head = edit.tensor("model.embed_tokens.weight");
  head.plan.name = "lm_head.weight";
  edit.tensors.push_back(head);
  const fixtures::ScratchFolder scratch;
  edit.write(scratch.path());
  const auto checkpoint = fixtures::open_checkpoint(scratch.path());
  ASSERT_NE(checkpoint, nullptr);
  EXPECT_EQ(checkpoint->graph()->find(Role::kHead, -1), nullptr);
}

TEST(CheckpointOpen, AVocabularyNeedsNoTensors) {
  const fixtures::ScratchFolder scratch;
  const fs::path path = scratch.path() / "vocabulary.gguf";
  Metadata metadata;
  metadata.set("general.architecture", "llama");
  auto writer = create_gguf(path, {}, metadata);
  ASSERT_TRUE(writer.has_value() && (*writer)->commit().has_value());
  EXPECT_FALSE(Checkpoint::open_any(path).has_value());
  const auto checkpoint = Checkpoint::open_vocabulary(path);
  ASSERT_TRUE(checkpoint.has_value()) << checkpoint.error().message();
  EXPECT_EQ((*checkpoint)->graph(), nullptr);
}

// The llama of tests as GGUF with one tensor more.
fs::path gguf_beside(const fs::path& folder, const std::string& name, std::vector<float> values) {
  const auto source = fixtures::open_checkpoint(fixtures::model_data("llama"));
  fixtures::write_gguf(*source, folder / "plain.gguf");
  const auto plain = open_container(folder / "plain.gguf");
  EXPECT_TRUE(plain.has_value());
  std::vector<PlannedTensor> plan;
  for (const TensorInfo& tensor : (*plain)->tensors())
    plan.push_back({tensor.name, tensor.type, tensor.shape});
  plan.push_back({name, {.plain = DType::kF32}, {static_cast<std::int64_t>(values.size())}});
  const fs::path path = folder / "factor.gguf";
  auto writer = create_gguf(path, plan, (*plain)->metadata());
  EXPECT_TRUE(writer.has_value());
  for (std::size_t i = 0; i + 1 < plan.size(); ++i) {
    EXPECT_TRUE((*writer)->write(i, (*plain)->bytes((*plain)->tensors()[i])).has_value());
  }
  EXPECT_TRUE((*writer)->write(plan.size() - 1, std::as_bytes(std::span(values))).has_value());
  EXPECT_TRUE((*writer)->commit().has_value());
  return path;
}

TEST(CheckpointOpen, AFactorBesideAMatrixOfGgufMultipliesIt) {
  const fixtures::ScratchFolder scratch;
  const auto scaled = Checkpoint::open(gguf_beside(scratch.path(), "blk.0.attn_q.scale", {2}));
  ASSERT_TRUE(scaled.has_value()) << scaled.error().message();
  const auto plain = Checkpoint::open(scratch.path() / "plain.gguf");
  ASSERT_TRUE(plain.has_value());
  for (const Role role : {Role::kQuery, Role::kKey}) {
    const Parameter& p = *(*plain)->graph()->find(role, 0);
    std::vector<float> values[2];
    for (int i = 0; i < 2; ++i) {
      values[i].resize(static_cast<std::size_t>(p.rows * p.cols));
      (i == 0 ? *plain : *scaled)->weight(p)->decode_rows(0, p.rows, values[i].data());
    }
    if (role == Role::kQuery) {
      for (float& value : values[0]) value *= 2;
    }
    EXPECT_EQ(values[0], values[1]);
  }
}

TEST(CheckpointOpen, FactorsThatMakeNoSenseAreRefused) {
  const fixtures::ScratchFolder scratch;
  const struct {
    const char* name;
    std::vector<float> values;
  } cases[] = {{"blk.0.attn_q.scale", {2, 3}}, {"blk.0.attn_q.scale", {NAN}},
               {"blk.0.attn_q.scale", {0}},    {"blk.0.attn_norm.scale", {2}},
               {"blk.77.attn_q.scale", {2}},   {"output.scale", {2}}};
  for (const auto& row : cases) {
    const auto refused = Checkpoint::open(gguf_beside(scratch.path(), row.name, row.values));
    ASSERT_FALSE(refused.has_value()) << row.name;
    EXPECT_THAT(refused.error().message(), HasSubstr(row.name));
    fs::remove(scratch.path() / "factor.gguf");
    fs::remove(scratch.path() / "plain.gguf");
  }
}

// ---- refusals --------------------------------------------------------------------------------

class DamagedCheckpoint : public ::testing::Test {
 protected:
  fixtures::EditableCheckpoint edit_ =
      fixtures::EditableCheckpoint::read(fixtures::model_data("llama"));
  fixtures::ScratchFolder scratch_;

  Error error() {
    edit_.write(scratch_.path());
    const auto checkpoint = Checkpoint::open(scratch_.path());
    EXPECT_FALSE(checkpoint.has_value());
    return checkpoint.has_value() ? Error{} : checkpoint.error();
  }
};

// Engines disagree about which of the two such a model means.
TEST_F(DamagedCheckpoint, AHeadThatDiffersFromTheEmbeddingItIsTiedToIsNamed) {
  edit_.config.set("tie_word_embeddings", true);
  ASSERT_EQ(edit_.tensor("lm_head.weight").bytes.size(),
            edit_.tensor("model.embed_tokens.weight").bytes.size());
  const Error differing = error();
  EXPECT_THAT(differing.message(), HasSubstr("lm_head.weight"));
  EXPECT_THAT(differing.message(), HasSubstr("tie_word_embeddings"));
}

TEST_F(DamagedCheckpoint, MissingTensorIsNamed) {
  edit_.erase("model.layers.1.mlp.up_proj.weight");
  const Error got = error();
  EXPECT_EQ(got.code, ErrorCode::kNotFound);
  EXPECT_EQ(got.tensor, "model.layers.1.mlp.up_proj.weight");
  EXPECT_THAT(got.expected, HasSubstr("[80, 48]"));
  EXPECT_THAT(got.file, HasSubstr("model.safetensors"));
}

TEST_F(DamagedCheckpoint, WrongShapeNamesBothShapes) {
  edit_.tensor("model.layers.0.self_attn.k_proj.weight").plan.shape = {48, 24};
  const Error got = error();
  EXPECT_EQ(got.code, ErrorCode::kCorrupt);
  EXPECT_EQ(got.tensor, "model.layers.0.self_attn.k_proj.weight");
  EXPECT_THAT(got.expected, HasSubstr("[24, 48]"));
  EXPECT_THAT(got.found, HasSubstr("[48, 24]"));
  EXPECT_TRUE(got.offset.has_value());
}

TEST_F(DamagedCheckpoint, ConfigurationsOfOtherSizesAreRefused) {
  for (const auto& [key, value] : {std::pair<const char*, std::int64_t>{"vocab_size", 97},
                                   {"num_hidden_layers", 1},
                                   {"num_hidden_layers", 3},
                                   {"intermediate_size", 81},
                                   {"num_key_value_heads", 4}}) {
    const Json saved = edit_.config;
    edit_.config.set(key, value);
    EXPECT_NE(error().code, ErrorCode::kInternal) << key;
    edit_.config = saved;
  }
}

TEST_F(DamagedCheckpoint, BiasThatTheConfigurationDeniesIsRefused) {
  edit_.tensors.push_back({{.name = "model.layers.0.self_attn.q_proj.bias",
                            .type = {.plain = DType::kBF16},
                            .shape = {48}},
                           std::vector<std::byte>(96)});
  EXPECT_EQ(error().tensor, "model.layers.0.self_attn.q_proj.bias");
}

TEST_F(DamagedCheckpoint, CodesWithoutADialectAreRefused) {
  auto& tensor = edit_.tensor("model.layers.0.mlp.gate_proj.weight");
  tensor.bytes.resize(tensor.bytes.size() / 2);
  for (const DType dtype : {DType::kI8, DType::kF8E4M3, DType::kF8E5M2}) {
    tensor.plan.type = {.plain = dtype};
    EXPECT_EQ(error().code, ErrorCode::kUnsupported);
  }
}

TEST_F(DamagedCheckpoint, UnknownDialectIsNamedWithTheKnownOnes) {
  edit_.config.set("quantization_config", Json::object({{"quant_method", "hqq"}}));
  const Error got = error();
  EXPECT_EQ(got.code, ErrorCode::kUnsupported);
  EXPECT_THAT(got.found, HasSubstr("hqq"));
  EXPECT_THAT(got.expected, HasSubstr("compressed-tensors"));
}

TEST_F(DamagedCheckpoint, AQuantizationThatIsNoObjectIsNamed) {
  for (const Json& value : {Json(7), Json("awq"), Json(false), Json::array()}) {
    edit_.config.set("quantization_config", value);
    const Error got = error();
    EXPECT_EQ(got.tensor, "quantization_config");
    EXPECT_EQ(got.found, value.dump());
  }
}

TEST_F(DamagedCheckpoint, UnknownArchitectureListsTheSupportedOnes) {
  edit_.config.set("architectures", Json::array().push("GPT2LMHeadModel"));
  const Error got = error();
  EXPECT_EQ(got.code, ErrorCode::kUnsupported);
  EXPECT_THAT(got.found, HasSubstr("GPT2LMHeadModel"));
  EXPECT_THAT(got.expected, HasSubstr("llama, mistral, qwen2, qwen3, gemma3"));
  const auto any = Checkpoint::open_any(scratch_.path());
  ASSERT_TRUE(any.has_value());
  EXPECT_EQ((*any)->graph(), nullptr);
  EXPECT_EQ((*any)->architecture(), nullptr);
  EXPECT_GT((*any)->parameter_count(), 40000U);
}

TEST_F(DamagedCheckpoint, BrokenOrMissingConfigIsRefused) {
  edit_.write(scratch_.path());
  for (const char* text : {"", "[]", "{\"architectures\": 3", "nul"}) {
    ASSERT_TRUE(write_text(scratch_.path() / "config.json", text).has_value());
    const auto checkpoint = Checkpoint::open(scratch_.path());
    ASSERT_FALSE(checkpoint.has_value()) << text;
    EXPECT_THAT(checkpoint.error().message(), HasSubstr("config.json"));
  }
  fs::remove(scratch_.path() / "config.json");
  EXPECT_FALSE(Checkpoint::open(scratch_.path()).has_value());
}

// ---- content hash ----------------------------------------------------------------------------

TEST(CheckpointContentHash, DependsOnContentNotOnPlace) {
  const auto original = fixtures::open_checkpoint(fixtures::model_data("llama"));
  ASSERT_NE(original, nullptr);
  const auto hash_of = [](const fs::path& path) -> Result<std::string> {
    QUANTLANE_TRY(const auto checkpoint, Checkpoint::open(path));
    return checkpoint->content_hash();
  };
  const std::string hash = original->content_hash().value();
  EXPECT_EQ(hash.size(), 32U);
  EXPECT_EQ(original->content_hash().value(), hash);
  const fixtures::ScratchFolder scratch;
  for (const char* name : {"config.json", "model.safetensors"}) {
    fs::copy_file(fixtures::model_data("llama") / name, scratch.path() / name);
  }
  EXPECT_EQ(hash_of(scratch.path()).value(), hash);
  {
    std::fstream file(scratch.path() / "model.safetensors",
                      std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-1, std::ios::end);
    file.put('\x11');
  }
  const std::string changed = hash_of(scratch.path()).value();
  EXPECT_NE(changed, hash);
  ASSERT_TRUE(write_text(scratch.path() / "tokenizer.json", "{}").has_value());
  EXPECT_NE(hash_of(scratch.path()).value(), changed);
}

// ---- weights ---------------------------------------------------------------------------------

TEST(WeightHandle, SlicesAgreeWithTheWhole) {
  const fixtures::ScratchFolder scratch;
  const auto folder = fixtures::open_checkpoint(fixtures::model_data("llama"));
  ASSERT_NE(folder, nullptr);
  fixtures::write_gguf(*folder, scratch.path() / "m.gguf");
  const auto gguf = fixtures::open_checkpoint(scratch.path() / "m.gguf");
  ASSERT_NE(gguf, nullptr);
  const Parameter& query = *gguf->graph()->find(Role::kQuery, 0);
  const auto weight = gguf->weight(query);
  ASSERT_TRUE(weight.has_value());
  // Permuted rows cannot be read in place.
  EXPECT_EQ(weight->f32_rows(), nullptr);
  EXPECT_NE(gguf->weight(*gguf->graph()->find(Role::kGate, 0))->f32_rows(), nullptr);
  const auto whole = values_of(*gguf, query);
  for (std::int64_t begin = 0; begin < query.rows; begin += 7) {
    const std::int64_t count = std::min<std::int64_t>(7, query.rows - begin);
    std::vector<float> slice(static_cast<std::size_t>(count * query.cols));
    weight->decode_rows(begin, count, slice.data());
    EXPECT_TRUE(std::equal(slice.begin(), slice.end(), whole.begin() + begin * query.cols));
  }
}

TEST(WeightHandle, HoldsValuesAndQuantizedTensors) {
  const auto values = std::make_shared<std::vector<float>>(std::vector<float>{1, 2, 3, 4, 5, 6});
  const Weight plain(values, 3, 2);
  EXPECT_TRUE(plain.valid());
  EXPECT_FALSE(Weight().valid());
  EXPECT_EQ(plain.f32_rows(), values->data());
  auto tensor = std::make_shared<QuantTensor>();
  tensor->scheme = {.granularity = Granularity::kChannel};
  tensor->rows = 2;
  tensor->cols = 2;
  tensor->codes = {1, -2, 3, 4};
  tensor->scales = {0.5F, 2};
  const Weight quantized(tensor, ActivationScheme{});
  EXPECT_EQ(quantized.encoding(), "int4_channel_sym");
  EXPECT_EQ(quantized.input_rounding(), ActivationScheme{});
  EXPECT_EQ(quantized.engine_rounding(), ActivationScheme{});
  EXPECT_FALSE(plain.engine_rounding());
  float row[2];
  quantized.decode_rows(1, 1, row);
  EXPECT_EQ(row[0], 6);
  EXPECT_EQ(row[1], 8);
}

}  // namespace
}  // namespace quantlane
