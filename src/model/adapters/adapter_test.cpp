#include "model/adapters/adapter.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/half.h"
#include "core/hash.h"
#include "core/rng.h"
#include "model/adapters/adapter_fixtures.h"

namespace quantlane {
namespace {

using fixtures::adapter_data;
using fixtures::AdapterCopy;
using fixtures::merge_of;
using fixtures::open_base;
using ::testing::HasSubstr;

std::vector<float> row_of(const Weight& weight, std::int64_t row) {
  std::vector<float> values(static_cast<std::size_t>(weight.cols()));
  weight.decode_rows(row, 1, values.data());
  return values;
}

// Rows 0, 1, -2 and -1 of what PEFT's merge_and_unload() changes, and nothing else changes.
void expect_merged_as_peft(const BoundAdapter& bound, const Checkpoint& base,
                           const std::string& variant) {
  const auto golden = open_container(adapter_data(variant) / "merged.safetensors").value();
  std::size_t changed = 0;
  for (const Parameter& parameter : base.graph()->parameters) {
    const TensorInfo* tensor = golden->find(parameter.name);
    ASSERT_EQ(bound.merged->edited(parameter), tensor != nullptr) << parameter.name;
    if (tensor == nullptr) continue;
    ++changed;
    const Weight weight = bound.merged->weight(parameter).value();
    for (std::int64_t i = 0; i < tensor->rows(); ++i) {
      const std::int64_t row = i < 2 ? i : weight.rows() - tensor->rows() + i;
      std::vector<float> wanted(static_cast<std::size_t>(weight.cols()));
      ASSERT_TRUE(decode_rows(*golden, *tensor, i, 1, wanted.data()).has_value());
      const std::vector<float> got = row_of(weight, std::max<std::int64_t>(row, 0));
      for (std::size_t c = 0; c < wanted.size(); ++c) {
        ASSERT_NEAR(got[c], wanted[c], 2e-6F * std::max(1.0F, std::fabs(wanted[c])))
            << variant << " " << parameter.name << " row " << row << " column " << c;
      }
    }
  }
  EXPECT_EQ(changed, golden->tensors().size());
  EXPECT_EQ(bound.accounts.size(), changed);
}

TEST(Adapters, OfPeftMergeAsPeftMergesThem) {
  for (const auto& [variant, family] :
       std::map<std::string, std::string>{{"plain", "llama"},
                                          {"patterns", "llama"},
                                          {"rslora", "llama"},
                                          {"dora", "llama"},
                                          {"embeddings", "llama"},
                                          {"embedding-dora", "llama"},
                                          {"tokens", "llama"},
                                          {"biases", "llama-bias"}}) {
    const auto base = open_base(family);
    const auto bound = merge_of(adapter_data(variant), base);
    ASSERT_TRUE(bound.has_value()) << variant << bound.error().message();
    expect_merged_as_peft(*bound, *base, variant);
  }
}

TEST(Adapters, OfLlamaCppMergeAsTheOnesTheyWereConvertedFrom) {
  const auto base = open_base("llama");
  const auto bound = merge_of(adapter_data("plain.gguf"), base);
  ASSERT_TRUE(bound.has_value()) << bound.error().message();
  expect_merged_as_peft(*bound, *base, "plain");
}

TEST(Adapters, AreAccountedForTensorByTensor) {
  const auto base = open_base("llama");
  auto bound = merge_of(adapter_data("dora"), base).value();
  ThreadPool pool(2);
  ASSERT_TRUE(measure_rounding(bound, *base, DType::kBF16, pool).has_value());
  ASSERT_EQ(bound.accounts.size(), 2U);
  const AdapterAccount& key = bound.accounts.front();
  EXPECT_EQ(key.parameter, "model.layers.0.self_attn.k_proj.weight");
  EXPECT_EQ(key.rank, 2);
  EXPECT_EQ(key.scale, 1.5);
  EXPECT_TRUE(key.dora);
  EXPECT_EQ(key.tensors, 3U);
  // By hand: norms of the weight and of the difference, rounding of every merged value.
  const Parameter& parameter = *base->graph()->find(Role::kKey, 0);
  double weight = 0;
  double change = 0;
  double rounding = 0;
  for (std::int64_t r = 0; r < parameter.rows; ++r) {
    const auto before = row_of(base->weight(parameter).value(), r);
    const auto after = row_of(bound.merged->weight(parameter).value(), r);
    for (std::size_t c = 0; c < before.size(); ++c) {
      weight += std::pow(static_cast<double>(before[c]), 2);
      change += std::pow(static_cast<double>(after[c]) - static_cast<double>(before[c]), 2);
      const float stored = bf16_to_f32(f32_to_bf16(after[c]));
      rounding += std::pow(static_cast<double>(stored) - static_cast<double>(after[c]), 2);
    }
  }
  EXPECT_NEAR(key.weight_norm, std::sqrt(weight), 1e-6);
  EXPECT_NEAR(key.relative(), std::sqrt(change / weight), 1e-6);
  EXPECT_NEAR(key.rounding, std::sqrt(rounding / change), 1e-6);
  ASSERT_TRUE(measure_rounding(bound, *base, DType::kF32, pool).has_value());
  EXPECT_EQ(bound.accounts.front().rounding, 0);
}

constexpr const char* kDownA = "base_model.model.model.layers.0.mlp.down_proj.lora_A.weight";

TEST(Adapters, NameATensorThatNothingUses) {
  const AdapterCopy copy("patterns");
  copy.rewrite([](std::string& name, auto&, auto&) {
    if (name == kDownA) name = "base_model.model.model.layers.9.mlp.down_proj.lora_A.weight";
  });
  EXPECT_THAT(copy.error().message(), HasSubstr("down_proj"));
  const AdapterCopy extra("plain");
  extra.rewrite([](std::string& name, auto&, auto&) {
    if (name.find("layers.1.") == std::string::npos) return;
    const std::size_t at = name.find("layers.1.mlp.gate_proj");
    at == std::string::npos ? name.clear() : static_cast<void>(name.replace(at, 8, "layers.7"));
  });
  extra.configure([](Json& config) { config.set("layers_to_transform", Json::array().push(0)); });
  const Error unused = extra.error();
  EXPECT_EQ(unused.code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(unused.tensor, HasSubstr("layers.7.mlp.gate_proj"));
}

TEST(Adapters, NameATargetThatHasNoTensors) {
  const AdapterCopy copy("plain");
  copy.rewrite([](std::string& name, auto&, auto&) {
    if (name.find("layers.1.self_attn.k_proj") != std::string::npos) name.clear();
  });
  const Error error = copy.error();
  EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(error.tensor, HasSubstr("model.layers.1.self_attn.k_proj.lora_A"));
  // Saved modules are targets too.
  const AdapterCopy saved("embeddings");
  saved.rewrite([](std::string& name, auto&, auto&) {
    if (name.find("lm_head") != std::string::npos) name.clear();
  });
  EXPECT_EQ(saved.error().tensor, "lm_head");
}

TEST(Adapters, OfAnotherBaseAreRefused) {
  const AdapterCopy copy("plain");
  copy.rewrite([](std::string& name, std::vector<std::int64_t>& shape, std::vector<float>& values) {
    if (name.find("layers.0.self_attn.q_proj.lora_A") == std::string::npos) return;
    shape = {2, 47};
    values.resize(2 * 47);
  });
  const Error error = copy.error();
  EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(error.tensor, HasSubstr("q_proj.lora_A"));
  EXPECT_THAT(error.expected, HasSubstr("[2, 48]"));
  EXPECT_EQ(error.found, "[2, 47]");
  // The rank of the file against that of the configuration.
  const AdapterCopy rank("plain");
  rank.configure([](Json& config) { config.set("r", 4); });
  EXPECT_EQ(rank.error().code, ErrorCode::kCorrupt);
  EXPECT_THAT(rank.error().expected, HasSubstr("rank 4"));
  const auto architecture = merge_of(adapter_data("plain.gguf"), open_base("qwen3"));
  ASSERT_FALSE(architecture.has_value());
  EXPECT_EQ(architecture.error().tensor, "general.architecture");
}

TEST(Adapters, ThatCannotBeMergedAreRefusedWithTheKey) {
  const std::map<std::string, Json> values = {{"peft_type", Json("IA3")},
                                              {"init_lora_weights", Json("pissa_niter_4")},
                                              {"alora_invocation_tokens", Json::array().push(1)},
                                              {"lora_bias", Json(true)}};
  for (const auto& [key, value] : values) {
    const AdapterCopy copy("plain");
    copy.configure([&](Json& config) { config.set(key, value); });
    const Error error = copy.error();
    EXPECT_EQ(error.code, ErrorCode::kUnsupported) << key;
    EXPECT_EQ(error.tensor, key);
  }
  for (const auto& [key, value] :
       std::map<std::string, Json>{{"r", Json(0)},
                                   {"lora_alpha", Json("x")},
                                   {"target_modules", Json("(")},
                                   {"rank_pattern", Json::object({{"q_proj", -1}})}}) {
    const AdapterCopy copy("plain");
    copy.configure([&](Json& config) { config.set(key, value); });
    const Error error = copy.error();
    EXPECT_EQ(error.code, ErrorCode::kCorrupt) << key;
    EXPECT_THAT(error.tensor, HasSubstr(key));
  }
  const AdapterCopy nan("plain");
  nan.rewrite([](auto&, auto&, std::vector<float>& numbers) { numbers[0] = NAN; });
  EXPECT_EQ(nan.error().code, ErrorCode::kCorrupt);
}

TEST(Adapters, OfAHeadThatTheBaseTiesAreRefused) {
  const AdapterCopy copy("biases");
  copy.rewrite([](std::string& name, std::vector<std::int64_t>& shape, std::vector<float>& values) {
    if (name.find("layers.1.self_attn.k_proj.bias") == std::string::npos) return;
    name = "base_model.model.lm_head.weight";
    shape = {96, 48};
    values.assign(std::size_t{96} * 48, 0.5F);
  });
  const Error error = copy.error("llama-bias");
  EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
  EXPECT_THAT(error.tensor, HasSubstr("lm_head.weight"));
  EXPECT_THAT(error.expected, HasSubstr("ties it to the embedding"));
}

// `sums`, brought to a length.
void expect_scaled_to(const std::vector<float>& row, const std::vector<double>& sums,
                      float length) {
  double squares = 0;
  for (const double sum : sums) squares += sum * sum;
  ASSERT_EQ(row.size(), sums.size());
  for (std::size_t c = 0; c < row.size(); ++c) {
    EXPECT_NEAR(static_cast<double>(row[c]),
                sums[c] * static_cast<double>(length) / std::sqrt(squares), 1e-6);
  }
}

// mlx_lm's definition, straight from its formula.
TEST(Adapters, OfMlxMergeByItsFormula) {
  const auto base = open_base("llama");
  const fixtures::ScratchFolder scratch;
  Rng rng(3);
  const auto random = [&](std::size_t count) {
    std::vector<float> values(count);
    for (float& value : values) value = static_cast<float>(rng.uniform() - 0.5);
    return values;
  };
  constexpr std::int64_t kRank = 3;
  const Parameter& up = *base->graph()->find(Role::kUp, 1);
  const Parameter& embedding = *base->graph()->find(Role::kEmbedding, -1);
  const auto a = random(static_cast<std::size_t>(up.cols * kRank));
  const auto b = random(static_cast<std::size_t>(kRank * up.rows));
  const auto m = random(static_cast<std::size_t>(up.rows));
  const auto ea = random(static_cast<std::size_t>(embedding.rows * kRank));
  const auto eb = random(static_cast<std::size_t>(kRank * embedding.cols));
  const auto em = random(static_cast<std::size_t>(embedding.rows));
  const std::vector<std::pair<PlannedTensor, std::vector<float>>> tensors = {
      {{"model.layers.1.mlp.up_proj.lora_a", {DType::kF32, nullptr}, {up.cols, kRank}}, a},
      {{"model.layers.1.mlp.up_proj.lora_b", {DType::kF32, nullptr}, {kRank, up.rows}}, b},
      {{"model.layers.1.mlp.up_proj.m", {DType::kF32, nullptr}, {up.rows}}, m},
      {{"model.embed_tokens.lora_a", {DType::kF32, nullptr}, {embedding.rows, kRank}}, ea},
      {{"model.embed_tokens.lora_b", {DType::kF32, nullptr}, {kRank, embedding.cols}}, eb},
      {{"model.embed_tokens.m", {DType::kF32, nullptr}, {embedding.rows}}, em}};
  std::vector<PlannedTensor> plan;
  for (const auto& [tensor, values] : tensors) plan.push_back(tensor);
  const auto writer = create_safetensors(scratch.path() / "adapters.safetensors", plan, {}).value();
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    ASSERT_TRUE(writer->write(i, std::as_bytes(std::span(tensors[i].second))).has_value());
  }
  ASSERT_TRUE(writer->commit().has_value());
  ASSERT_TRUE(write_text(scratch.path() / "adapter_config.json",
                         R"({"fine_tune_type": "dora", "lora_parameters": {"scale": 2.5}})")
                  .has_value());
  const auto bound = merge_of(scratch.path(), base);
  ASSERT_TRUE(bound.has_value()) << bound.error().message();
  const auto product = [&](const auto& left, const auto& right, std::int64_t row,
                           std::int64_t column, std::int64_t columns) {
    double sum = 0;
    for (std::int64_t k = 0; k < kRank; ++k) {
      sum += static_cast<double>(left[static_cast<std::size_t>(row * kRank + k)]) *
             static_cast<double>(right[static_cast<std::size_t>(k * columns + column)]);
    }
    return 2.5 * sum;
  };
  for (const std::int64_t row : {std::int64_t{0}, up.rows - 1}) {
    const auto at = static_cast<std::size_t>(row);
    std::vector<double> sums;
    for (const float value : row_of(base->weight(up).value(), row)) {
      const auto column = std::ssize(sums);
      sums.push_back(static_cast<double>(value) + product(a, b, column, row, up.rows));
    }
    expect_scaled_to(row_of(bound->merged->weight(up).value(), row), sums, m[at]);
    sums.clear();
    for (const float value : row_of(base->weight(embedding).value(), row)) {
      const auto column = std::ssize(sums);
      sums.push_back(static_cast<double>(value) + product(ea, eb, row, column, embedding.cols));
    }
    expect_scaled_to(row_of(bound->merged->weight(embedding).value(), row), sums, em[at]);
  }
}

std::string f16_hash(const std::vector<float>& values) {
  std::vector<std::uint16_t> halves;
  for (const float value : values) halves.push_back(f32_to_f16(value));
  return sha256_hex(std::as_bytes(std::span(halves)));
}

TEST(Adapters, OfMlxAreReadAsOllamaReadsThem) {
  const fs::path folder = fixtures::shared_data("adapters/discollama-mlx");
  if (!fs::exists(folder)) GTEST_SKIP() << "needs " << folder;
  ModelConfig config;
  config.architecture = "llama";
  config.vocab_size = 128256;
  config.hidden_size = 4096;
  config.intermediate_size = 14336;
  config.layer_count = 32;
  config.head_count = 32;
  config.kv_head_count = 8;
  config.head_dim = 128;
  const Graph graph = build_graph(config);
  const auto adapter = read_adapter(
      folder,
      AdapterBase{.graph = graph, .architecture = *architecture_by_name("llama"), .path = ""});
  ASSERT_TRUE(adapter.has_value()) << adapter.error().message();
  EXPECT_EQ(adapter->deltas.size(), 4U);
  EXPECT_EQ(adapter->tensor_count(), 8U);
  const Json hashes = fixtures::read_json(folder / "discollama.json");
  for (const std::string layer : {"30", "31"}) {
    const AdapterDelta& value =
        adapter->deltas.at("model.layers." + layer + ".self_attn.v_proj.weight");
    EXPECT_EQ(value.scale, 2.0);
    EXPECT_EQ(f16_hash(value.a), hashes["blk." + layer + ".attn_v.weight.lora_a"].string());
    EXPECT_EQ(f16_hash(value.b), hashes["blk." + layer + ".attn_v.weight.lora_b"].string());
  }
}

}  // namespace
}  // namespace quantlane
