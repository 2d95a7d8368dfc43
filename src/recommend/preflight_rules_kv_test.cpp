// Rules about the key-value cache: an artefact that breaks each, and a neighbour that does not.
#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "recommend/preflight_kv_fixtures.h"

namespace quantlane {
namespace {

using namespace test_facts;  // NOLINT(google-build-using-namespace): the shared test inputs

// One scale of the second layer is no positive number.
ArtefactFacts unusable(float key, float value = 1) {
  return with(kv(kFp8Cache), [&](auto& f) {
    if (!(key > 0)) f.attentions[1].key.unusable = key;
    if (!(value > 0)) f.attentions[1].value.unusable = value;
  });
}
std::vector<RuleTest> kv_tests() {
  const EngineTarget vllm = target("vllm");
  const EngineTarget sglang = target("sglang");
  const EngineTarget tgi = target("tgi");
  const EngineTarget trt = target("tensorrt-llm");
  return {
      {"kv-width", {kv(kInt8), vllm}, {kv(kFp8Cache), vllm}},
      {"kv-strategy", {kv(kInt8Groups), vllm}, {kv(kHeads, 4, 4), vllm}},
      {"kv-symmetric", {kv(kAsymmetric), vllm}, {kv(kFp8Cache), vllm}},
      {"kv-fp8-only", {kv(kInt8), trt}, {kv(kFp8Cache), trt}},
      {"kv-head-version",
       {kv(kHeads, 4, 4), version(vllm, "0.14.1")},
       {kv(kHeads, 4, 4), version(vllm, "0.15.0")}},
      {"kv-tgi-scheme", {kv(kHeads, 4, 4), tgi}, {kv(kFp8Cache), tgi}},
      {"kv-scale-count", {kv(kFp8Cache, 4), vllm}, {kv(kHeads, 4, 1), vllm}},
      {"kv-key-scale", {kv(kFp8Cache, kMissing), sglang}, {kv(kFp8Cache, 1, kMissing), sglang}},
      {"kv-scale-cut", {kv(kHeads, 5, 4), vllm}, {kv(kHeads, 4, 4), vllm}},
      {"kv-bad-scale", {unusable(0), vllm}, {kv(kFp8Cache), vllm}},
      {"kv-missing-scale", {kv(kFp8Cache, kMissing), vllm}, {kv(kFp8Cache), vllm}},
      {"kv-dynamic", {kv(kDynamic), tgi}, {kv(kFp8Cache), tgi}},
      {"kv-zero-points", {kv(kAsymmetric), tgi}, {kv(kFp8Cache), tgi}},
      {"kv-ignored", {kv(kInt8Groups), sglang}, {kv(kFp8Cache), sglang}},
      {"kv-flag", {kv(kFp8Cache), vllm}, {kv(kInt8), vllm}},
      {"cpu-kv-cut",
       {kv(kFp8Cache), target("vllm", "epyc-turin")},
       {kv(kFp8Cache), target("vllm", "h100-sxm")}},
      {"kv-without-scales", {without_scales(kFp8Cache), vllm}, {kv(kFp8Cache), vllm}},
      {"kv-scales-unused", {kv(kFp8Cache), trt}, {without_scales(kFp8Cache), trt}},
  };
}

TEST(PreflightKvRules, EachIsBrokenByOneArtefactAndNotByItsNeighbour) {
  expect_each_rule_tested(preflight_kv_rules(), kv_tests());
}

// Of the rules of this table.
PreflightEffect worst(const ArtefactFacts& facts, const char* engine) {
  PreflightEffect worst = PreflightEffect::kNote;
  for (const PreflightRule& rule : preflight_kv_rules()) {
    if (concerns(rule, target(engine)) && rule.finds(facts, target(engine)))
      worst = std::max(worst, rule.effect);
  }
  return worst;
}

// What each engine makes of damaged scales, by its sources: vLLM takes those of compressed-tensors
// as they are, SGLang and vLLM (of ModelOpt) assert that the scale of the keys is positive.
TEST(PreflightKvRules, DamagedScalesAnswerAsTheEngineTakesThem) {
  const float nan = std::nanf("");
  struct Row {
    ArtefactFacts facts;
    PreflightEffect vllm, vllm_modelopt, sglang, tgi;
  };
  constexpr auto kWrong = PreflightEffect::kWrong;
  constexpr auto kRefuse = PreflightEffect::kRefuse;
  const std::vector<Row> rows = {
      {kv(kFp8Cache), PreflightEffect::kNote, PreflightEffect::kNote, PreflightEffect::kNote,
       PreflightEffect::kNote},
      {unusable(nan), kWrong, kRefuse, kRefuse, kWrong},
      {unusable(0), kWrong, kRefuse, kRefuse, kWrong},
      {unusable(-2), kWrong, kRefuse, kRefuse, kWrong},
      {unusable(1, nan), kWrong, kWrong, kWrong, kWrong},
      {unusable(0, 0), kWrong, kRefuse, kWrong, kWrong},
      {unusable(-2, -2), kWrong, kWrong, kWrong, kWrong},
      {kv(kFp8Cache, kMissing), kWrong, kRefuse, kRefuse, kWrong},
      {kv(kFp8Cache, 1, kMissing), kWrong, kWrong, kWrong, kWrong},
      {kv(kFp8Cache, kMissing, kMissing), kWrong, kWrong, kWrong, kWrong},
      {kv(kFp8Cache, 2), kRefuse, kRefuse, kRefuse, kRefuse},
      {kv(kHeads, 3, 4), kRefuse, kRefuse, kWrong, kRefuse},
  };
  for (std::size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(worst(rows[i].facts, "vllm"), rows[i].vllm) << i;
    EXPECT_EQ(worst(modelopt(rows[i].facts), "vllm"), rows[i].vllm_modelopt) << i;
    EXPECT_EQ(worst(rows[i].facts, "sglang"), rows[i].sglang) << i;
    EXPECT_EQ(worst(rows[i].facts, "tgi"), rows[i].tgi) << i;
  }
}

TEST(PreflightKvRules, NoEngineTakesIntegerCachesWithoutAWord) {
  for (const char* engine : {"vllm", "sglang", "tgi", "tensorrt-llm"}) {
    EXPECT_GE(worst(kv(kInt8), engine), PreflightEffect::kWrong) << engine;
    EXPECT_GE(worst(kv(kInt8Groups), engine), PreflightEffect::kWrong) << engine;
  }
}

}  // namespace
}  // namespace quantlane
