// Passes with a rounded key-value cache.
#include <algorithm>
#include <cmath>

#include <gmock/gmock.h>

#include "runtime/runtime_fixtures.h"

namespace quantlane {
namespace {

using fixtures::load_model;
using fixtures::logits_of;
using fixtures::model_data;
using fixtures::relative_error;

std::vector<std::int32_t> some_ids(std::size_t count) {
  std::vector<std::int32_t> ids;
  for (std::size_t i = 0; i < count; ++i) {
    ids.push_back(static_cast<std::int32_t>((i * 37 + 11) % 96));
  }
  return ids;
}

KvRounding rounding_for(const ModelConfig& config, std::string_view name, float scale = 0.02F) {
  const auto count = static_cast<std::size_t>(config.layer_count * config.kv_head_count);
  return {.scheme = *find_kv_scheme(name),
          .heads = config.kv_head_count,
          .key_scales = std::vector<float>(count, scale),
          .value_scales = std::vector<float>(count, scale)};
}

TEST(KvRounding, TheCacheHoldsValuesOfTheScheme) {
  for (const KvScheme& scheme : kv_schemes()) {
    const auto runtime = load_model(model_data("qwen3"));
    ASSERT_NE(runtime, nullptr);
    const ModelConfig& config = runtime->config();
    runtime->kv() = rounding_for(config, scheme.name);
    const auto ids = some_ids(20);
    ThreadPool pool(2);
    KvCache cache(config, 20);
    const Segment segment = {.tokens = ids, .cache = &cache, .logits_from = 20};
    std::vector<float> logits;
    ASSERT_TRUE(runtime->forward({&segment, 1}, pool, logits).has_value());
    for (std::int64_t layer = 0; layer < config.layer_count; ++layer) {
      const auto size = static_cast<std::size_t>(20 * config.kv_size());
      for (const bool values : {false, true}) {
        const float* held = values ? cache.values(layer) : cache.keys(layer);
        std::vector<float> again(held, held + size);
        runtime->kv().round(layer, values, again.data(), 20, config.head_dim);
        for (std::size_t i = 0; i < size; ++i) {
          ASSERT_NEAR(again[i], held[i], 2e-6F * std::abs(held[i])) << scheme.name;
        }
      }
    }
  }
}

TEST(KvRounding, FewerBitsMoveLogitsFurther) {
  const auto runtime = load_model(model_data("llama"));
  ASSERT_NE(runtime, nullptr);
  const auto ids = some_ids(40);
  const auto exact = logits_of(*runtime, ids);
  const auto error = [&](std::string_view name) {
    runtime->kv() = rounding_for(runtime->config(), name);
    return relative_error(logits_of(*runtime, ids), exact);
  };
  const double int8 = error("int8");
  EXPECT_GT(int8, 0);
  EXPECT_LT(int8, 0.02);
  EXPECT_GT(error("int4"), 4 * int8);
  runtime->kv() = {};
  EXPECT_EQ(logits_of(*runtime, ids), exact);
}

TEST(KvRounding, PiecesAndThreadsGiveTheSame) {
  const auto runtime = load_model(model_data("llama"));
  ASSERT_NE(runtime, nullptr);
  runtime->kv() = rounding_for(runtime->config(), "fp8_head");
  const auto ids = some_ids(33);
  const auto whole = logits_of(*runtime, ids, 1);
  EXPECT_EQ(logits_of(*runtime, ids, 3), whole);
  ThreadPool pool(1);
  KvCache cache(runtime->config(), 33);
  std::vector<float> joined;
  std::vector<float> logits;
  for (std::size_t begin = 0; begin < ids.size(); begin += 11) {
    const Segment segment = {
        .tokens = std::span(ids).subspan(begin, 11), .cache = &cache, .logits_from = 0};
    ASSERT_TRUE(runtime->forward({&segment, 1}, pool, logits).has_value());
    joined.insert(joined.end(), logits.begin(), logits.end());
  }
  EXPECT_LT(relative_error(joined, whole), 1e-3);
}

}  // namespace
}  // namespace quantlane
