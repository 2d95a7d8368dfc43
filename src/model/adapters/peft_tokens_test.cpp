// Tokens trained by themselves: adapter_test.cpp has what PEFT merges from them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/adapters/adapter_fixtures.h"

namespace quantlane {
namespace {

using fixtures::AdapterCopy;
using ::testing::HasSubstr;

constexpr const char* kDelta =
    "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta";

Json ids(std::initializer_list<Json> items) { return Json(Json::Array(items)); }

Error error_of(const Json& tokens) {
  const AdapterCopy copy("tokens");
  copy.configure([&](Json& config) { config.set("trainable_token_indices", tokens); });
  return copy.error();
}

TEST(PeftTokens, AsAListAreThoseOfTheEmbedding) {
  const AdapterCopy copy("tokens");
  copy.configure([](Json& config) { config.set("trainable_token_indices", ids({1, 95, 40})); });
  copy.rewrite([](std::string& name, auto&, auto&) {
    if (name.find("lm_head") != std::string::npos) name.clear();
  });
  const auto bound = copy.merged();
  ASSERT_TRUE(bound.has_value()) << bound.error().message();
  EXPECT_EQ(bound->accounts.front().parameter, "model.embed_tokens.weight");
  EXPECT_EQ(bound->accounts.front().rank, 0);
  EXPECT_EQ(bound->accounts.front().tensors, 1U);
}

TEST(PeftTokens, AreRefusedWhereTheConfigurationContradictsTheTensors) {
  const Json two = Json::object({{"embed_tokens", ids({1, 2})}, {"lm_head", ids({94})}});
  EXPECT_EQ(error_of(two).code, ErrorCode::kCorrupt);
  EXPECT_THAT(error_of(two).tensor, HasSubstr("embed_tokens.token_adapter"));
  EXPECT_THAT(error_of(two).expected, HasSubstr("[2, 48]"));
  // Tensors that no key names, keys that no tensor has.
  EXPECT_THAT(error_of(Json::object({{"lm_head", ids({94})}})).tensor, HasSubstr(kDelta));
  const Json more = Json::object(
      {{"embed_tokens", ids({1, 95, 40})}, {"lm_head", ids({94})}, {"k_proj", ids({0})}});
  EXPECT_THAT(error_of(more).tensor, HasSubstr("k_proj.token_adapter"));
}

TEST(PeftTokens, AreRefusedWhereTheyAreNoneOfTheBase) {
  const Json beyond = Json::object({{"embed_tokens", ids({1, 96, 40})}, {"lm_head", ids({94})}});
  EXPECT_EQ(error_of(beyond).code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(error_of(beyond).found, "96");
  const Json module = Json::object({{"embeddings", ids({1})}});
  EXPECT_EQ(error_of(module).tensor, "trainable_token_indices");
  EXPECT_EQ(error_of(module).found, "embeddings");
}

TEST(PeftTokens, AreIdsEachOnce) {
  for (const Json& wrong : {ids({1, 1, 2}), ids({-1, 2, 3}), ids({1.5, 2, 3}), ids({"1", 2, 3}),
                            Json::object({{"embed_tokens", 3}}), Json::object({{"", ids({1})}})}) {
    EXPECT_EQ(error_of(wrong).code, ErrorCode::kCorrupt) << wrong.dump();
    EXPECT_THAT(error_of(wrong).tensor, HasSubstr("trainable_token_indices")) << wrong.dump();
  }
}

TEST(PeftTokens, BesideALowRankProductOfTheSameMatrixAreRefused) {
  const AdapterCopy copy("tokens");
  copy.configure([](Json& config) {
    config.set("trainable_token_indices", Json::object({{"q_proj", ids({1, 5, 40})}}));
  });
  copy.rewrite([](std::string& name, auto&, auto&) {
    if (name.find("lm_head") != std::string::npos) name.clear();
    const std::size_t at = name.find("embed_tokens");
    if (at != std::string::npos) name.replace(at, 12, "layers.0.self_attn.q_proj");
  });
  const Error error = copy.error();
  EXPECT_EQ(error.code, ErrorCode::kUnsupported);
  EXPECT_THAT(error.found, HasSubstr("both of model.layers.0.self_attn.q_proj"));
}

// biases: an adapter of a base that ties its head.
TEST(PeftTokens, OfATiedHeadAreThoseOfTheEmbedding) {
  for (const bool same : {true, false}) {
    const AdapterCopy copy("biases");
    copy.configure([&](Json& config) {
      config.set("trainable_token_indices",
                 Json::object({{"embed_tokens", ids({2})}, {"lm_head", ids({same ? 2 : 3})}}));
    });
    copy.rewrite(
        [](std::string& name, std::vector<std::int64_t>& shape, std::vector<float>& values) {
          if (name.find("layers.0.self_attn.k_proj.bias") == std::string::npos) return;
          name = kDelta;
          shape = {1, 48};
          values.assign(48, 0.5F);
        });
    copy.configure([](Json& config) { config.set("bias", "lora_only"); });
    const auto bound = copy.merged("llama-bias");
    ASSERT_EQ(bound.has_value(), same) << (bound ? "" : bound.error().message());
    if (!same) {
      EXPECT_EQ(bound.error().found, "lm_head");
    }
  }
}

}  // namespace
}  // namespace quantlane
