#include "calibrate/kv_ranges.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "runtime/runtime_fixtures.h"

namespace quantlane {
namespace {

using fixtures::load_model;
using fixtures::model_data;

TokenChunks three_chunks() {
  TokenChunks chunks{.chunk = 16, .tokens = {}};
  for (std::int32_t i = 0; i < 48; ++i) chunks.tokens.push_back((i * 37 + 11) % 96);
  return chunks;
}

Result<KvRounding> calibrate(Runtime& runtime, std::string_view name) {
  ThreadPool pool(2);
  return calibrate_kv(runtime, three_chunks(), **find_kv_scheme(name), pool, no_progress());
}

TEST(KvRanges, TheLargestValueOfTheTextIsTheLargestOfTheScheme) {
  const auto runtime = load_model(model_data("qwen3"));
  ASSERT_NE(runtime, nullptr);
  const ModelConfig& config = runtime->config();
  const auto layers = calibrate(*runtime, "fp8");
  const auto heads = calibrate(*runtime, "fp8_head");
  ASSERT_TRUE(layers.has_value() && heads.has_value());
  ASSERT_EQ(static_cast<std::int64_t>(layers->key_scales.size()), config.layer_count);
  ASSERT_EQ(static_cast<std::int64_t>(heads->value_scales.size()),
            config.layer_count * config.kv_head_count);
  // By brute force, chunk by chunk.
  ThreadPool pool(1);
  std::vector<float> largest(heads->key_scales.size());
  std::vector<float> logits;
  const TokenChunks chunks = three_chunks();
  for (std::int64_t c = 0; c < chunks.count(); ++c) {
    KvCache cache(config, 16);
    const Segment segment = {.tokens = chunks[c], .cache = &cache, .logits_from = 16};
    ASSERT_TRUE(runtime->forward({&segment, 1}, pool, logits).has_value());
    for (std::size_t i = 0; i < largest.size(); ++i) {
      const auto layer = static_cast<std::int64_t>(i) / config.kv_head_count;
      const auto head = static_cast<std::int64_t>(i) % config.kv_head_count;
      for (std::int64_t t = 0; t < 16; ++t) {
        for (std::int64_t d = 0; d < config.head_dim; ++d) {
          const float value = cache.keys(layer)[t * config.kv_size() + head * config.head_dim + d];
          largest[i] = std::max(largest[i], std::abs(value));
        }
      }
    }
  }
  for (std::size_t i = 0; i < largest.size(); ++i) {
    EXPECT_FLOAT_EQ(heads->key_scales[i] * 448, largest[i]);
    const std::size_t layer = i / static_cast<std::size_t>(config.kv_head_count);
    EXPECT_GE(layers->key_scales[layer], heads->key_scales[i]);
  }
}

TEST(KvRanges, CalibratesWithAFloatCacheAndLeavesTheRuntimeAsItWas) {
  const auto runtime = load_model(model_data("llama"));
  ASSERT_NE(runtime, nullptr);
  const auto first = calibrate(*runtime, "fp8");
  ASSERT_TRUE(first.has_value());
  runtime->kv() = {.scheme = *find_kv_scheme("int4"), .heads = runtime->config().kv_head_count};
  const auto second = calibrate(*runtime, "fp8");
  ASSERT_TRUE(second.has_value());
  EXPECT_EQ(first->key_scales, second->key_scales);
  EXPECT_EQ(runtime->kv().scheme->name, "int4");
}

TEST(KvRanges, SchemesThatScaleThemselvesNeedNoText) {
  const auto runtime = load_model(model_data("llama"));
  ASSERT_NE(runtime, nullptr);
  ThreadPool pool(1);
  const auto kv = calibrate_kv(*runtime, {}, **find_kv_scheme("int8"), pool, no_progress());
  ASSERT_TRUE(kv.has_value());
  EXPECT_TRUE(kv->any());
  EXPECT_TRUE(kv->key_scales.empty());
}

}  // namespace
}  // namespace quantlane
