#include "model/graph.h"

#include <algorithm>
#include <cmath>
#include <set>

#include <gmock/gmock.h>

namespace quantlane {
namespace {

ModelConfig small_config() {
  ModelConfig config;
  config.vocab_size = 32;
  config.hidden_size = 8;
  config.intermediate_size = 12;
  config.layer_count = 2;
  config.head_count = 2;
  config.kv_head_count = 1;
  config.head_dim = 4;
  return config;
}

TEST(GraphOfModel, ListsParametersInExecutionOrder) {
  const Graph graph = build_graph(small_config());
  ASSERT_EQ(graph.parameters.size(), 2U * 9 + 3);
  EXPECT_EQ(graph.parameters.front().name, "model.embed_tokens.weight");
  EXPECT_EQ(graph.parameters.back().name, "lm_head.weight");
  const Parameter* key = graph.find(Role::kKey, 1);
  ASSERT_NE(key, nullptr);
  EXPECT_EQ(key->module(), "model.layers.1.self_attn.k_proj");
  EXPECT_EQ(key->rows, 4);
  EXPECT_EQ(key->cols, 8);
  EXPECT_EQ(graph.find(Role::kDown, 0)->cols, 12);
  EXPECT_EQ(graph.find(Role::kQueryNorm, 0), nullptr);
  EXPECT_EQ(graph.find(Role::kKey, 2), nullptr);
}

TEST(GraphOfModel, HasOnlyWhatTheConfigurationSays) {
  ModelConfig config = small_config();
  config.tied_embeddings = config.attention_bias = config.qk_norm = config.post_norms = true;
  const Graph graph = build_graph(config);
  EXPECT_EQ(graph.find(Role::kHead, -1), nullptr);
  EXPECT_EQ(graph.find(Role::kQueryBias, 1)->cols, 8);
  EXPECT_EQ(graph.find(Role::kAttentionOutputBias, 1), nullptr);
  EXPECT_EQ(graph.find(Role::kKeyNorm, 1)->cols, 4);
  EXPECT_EQ(graph.find(Role::kFeedForwardNorm, 0)->name,
            "model.layers.0.pre_feedforward_layernorm.weight");
  EXPECT_EQ(graph.find(Role::kPostAttentionNorm, 0)->name,
            "model.layers.0.post_attention_layernorm.weight");
}

TEST(GraphOfModel, GgufNamesAreThoseOfLlamaCppAndUnique) {
  EXPECT_EQ(gguf_name(Role::kQuery, 3), "blk.3.attn_q.weight");
  EXPECT_EQ(gguf_name(Role::kEmbedding, -1), "token_embd.weight");
  EXPECT_EQ(gguf_name(Role::kFinalNorm, -1), "output_norm.weight");
  EXPECT_EQ(gguf_name(Role::kPostFeedForwardNorm, 0), "blk.0.post_ffw_norm.weight");
  EXPECT_EQ(gguf_name(Role::kDown, 2, 7), "blk.2.ffn_down_exps.weight");
  std::set<std::string> names;
  for (int role = 0; role <= static_cast<int>(Role::kAttentionOutputBias); ++role) {
    names.insert(gguf_name(static_cast<Role>(role), 0));
  }
  EXPECT_EQ(names.size(), 21U);
}

ModelConfig sparse_config() {
  ModelConfig config = small_config();
  config.experts.count = 3;
  config.experts.per_token = 2;
  config.experts.intermediate_size = 6;
  config.experts.dense_layers = {0};
  return config;
}

TEST(GraphOfModel, HasExpertsWhereTheConfigurationSaysSo) {
  ModelConfig config = sparse_config();
  const Graph graph = build_graph(config);
  EXPECT_EQ(graph.find(Role::kRouter, 0), nullptr);
  EXPECT_EQ(graph.find(Role::kGate, 0)->rows, 12);
  EXPECT_EQ(graph.find(Role::kGate, 1), nullptr);
  EXPECT_EQ(graph.find(Role::kRouter, 1)->name, "model.layers.1.mlp.gate.weight");
  EXPECT_EQ(graph.find(Role::kRouter, 1)->rows, 3);
  const Parameter* down = graph.find(Role::kDown, 1, 2);
  ASSERT_NE(down, nullptr);
  EXPECT_EQ(down->name, "model.layers.1.mlp.experts.2.down_proj.weight");
  EXPECT_EQ(down->rows, 8);
  EXPECT_EQ(down->cols, 6);
  EXPECT_EQ(graph.find(Role::kDown, 1, 3), nullptr);
  config.experts.module = "block_sparse_moe";
  config.experts.down = "w2";
  EXPECT_EQ(build_graph(config).find(Role::kDown, 1, 2)->name,
            "model.layers.1.block_sparse_moe.experts.2.w2.weight");
}

TEST(GraphOfModel, ExpertsShareATensorInGguf) {
  const Graph graph = build_graph(sparse_config());
  std::size_t parameters = 0;
  for (const GgufTensor& tensor : gguf_tensors(graph)) {
    parameters += tensor.parameters.size();
    if (tensor.parameters.size() == 1) continue;
    EXPECT_EQ(tensor.parameters.size(), 3U) << tensor.name;
    EXPECT_EQ(tensor.shape.size(), 3U) << tensor.name;
    for (std::size_t e = 0; e < 3; ++e) {
      const Parameter& p = *tensor.parameters[e];
      const TensorPlace place = gguf_places(p, graph.config)[0];
      EXPECT_EQ(place.name, tensor.name);
      EXPECT_EQ(place.first_row, p.rows * static_cast<std::int64_t>(e));
    }
  }
  EXPECT_EQ(parameters, graph.parameters.size());
}

// Halves (i, i + 4) of a head of 8 lie side by side in GGUF.
TEST(PermutedQkRow, InterleavesTheHalvesOfEachHead) {
  const std::vector<std::int64_t> want = {0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15};
  std::vector<std::int64_t> got;
  for (std::int64_t row = 0; row < 16; ++row) got.push_back(permuted_qk_row(row, 8));
  EXPECT_EQ(got, want);
}

// Divisors that transformers' ROPE_INIT_FUNCTIONS["llama3"] amounts to for the published models.
TEST(RopeFrequencyDivisors, AreThoseOfLlama31And32) {
  ModelConfig config = small_config();
  EXPECT_TRUE(rope_frequency_divisors(config).empty());
  config.rope_theta = 500000;
  config.head_dim = 128;
  config.rope_scaling = {.kind = RopeScaling::Kind::kLlama3,
                         .factor = 8,
                         .low_freq_factor = 1,
                         .high_freq_factor = 4,
                         .original_context = 8192};
  const auto large = rope_frequency_divisors(config);
  ASSERT_EQ(large.size(), 64U);
  EXPECT_EQ(large[28], 1);
  EXPECT_NEAR(large[29], 1.207484, 2e-6);
  EXPECT_NEAR(large[32], 2.694530, 2e-6);
  EXPECT_NEAR(large[34], 5.257327, 4e-6);
  EXPECT_EQ(large[35], 8);
  config.head_dim = 64;
  config.rope_scaling.factor = 32;
  const auto small = rope_frequency_divisors(config);
  EXPECT_NEAR(small[15], 1.651329, 2e-6);
  EXPECT_NEAR(small[17], 9.666731, 8e-6);
  EXPECT_EQ(small[18], 32);
  config.rope_divisors = {1, 2, 3};
  EXPECT_EQ(rope_frequency_divisors(config), config.rope_divisors);
}

// The reciprocals that both amount to.
double largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  double largest = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    largest = std::max(largest, std::abs(1.0 / a[i] - 1.0 / b[i]));
  }
  return largest;
}

TEST(Llama3ScalingOfDivisors, IsOneThatGivesThemAgain) {
  for (const std::int64_t head_dim : {8, 16, 32, 64, 128}) {
    for (const double theta : {1e4, 1e6}) {
      for (const std::int64_t context : {100, 128, 2048, 8192, 30000}) {
        for (const auto& [low, high] : {std::pair{1.0, 4.0}, {2.0, 4.0}, {1.0, 1.7}, {0.7, 32.0}}) {
          ModelConfig config = small_config();
          config.head_dim = head_dim;
          config.rope_theta = theta;
          config.rope_scaling = {.kind = RopeScaling::Kind::kLlama3,
                                 .factor = 12,
                                 .low_freq_factor = low,
                                 .high_freq_factor = high,
                                 .original_context = context};
          config.rope_divisors = rope_frequency_divisors(config);
          if (std::ranges::max(config.rope_divisors) == 1) continue;
          const auto found = llama3_scaling_of_divisors(config);
          const std::string what = std::to_string(head_dim) + " " + std::to_string(theta) + " " +
                                   std::to_string(context) + " " + std::to_string(high);
          ASSERT_TRUE(found.has_value()) << what;
          ModelConfig again = config;
          again.rope_divisors.clear();
          again.rope_scaling = *found;
          EXPECT_LE(largest_difference(rope_frequency_divisors(again), config.rope_divisors), 1e-6)
              << what;
        }
      }
    }
  }
}

TEST(Llama3ScalingOfDivisors, IsNoneForOtherDivisors) {
  ModelConfig config = small_config();
  config.head_dim = 8;
  for (const std::vector<float>& divisors :
       {std::vector<float>{1, 1, 1, 1}, {1, 8, 2, 8}, {1, 2, 4, 8}, {8, 8, 1, 1}, {.5F, 1, 8, 8}}) {
    config.rope_divisors = divisors;
    EXPECT_FALSE(llama3_scaling_of_divisors(config).has_value()) << divisors[1];
  }
}

}  // namespace
}  // namespace quantlane
