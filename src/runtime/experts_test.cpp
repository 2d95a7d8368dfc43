#include "runtime/experts.h"

#include <array>
#include <cmath>
#include <map>

#include <gmock/gmock.h>

#include "runtime/runtime_fixtures.h"

namespace quantlane {
namespace {

TEST(PickExperts, TakesTheMostLikelyAndSharesOutTheirWeight) {
  const std::array<float, 4> scores = {0.5F, 2.0F, -1.0F, 1.0F};
  std::array<ExpertPick, 2> picks{};
  ExpertConfig config{.count = 4, .per_token = 2};
  pick_experts(config, scores, picks);
  EXPECT_EQ(picks[0].expert, 1);
  EXPECT_EQ(picks[1].expert, 3);
  const double a = std::exp(2.0);
  const double b = std::exp(1.0);
  EXPECT_NEAR(picks[0].weight, a / (a + b), 1e-7);
  EXPECT_NEAR(picks[1].weight, b / (a + b), 1e-7);
  config.normalised = false;
  pick_experts(config, scores, picks);
  const double all = a + b + std::exp(0.5) + std::exp(-1.0);
  EXPECT_NEAR(picks[0].weight, a / all, 1e-7);
  EXPECT_NEAR(picks[1].weight, b / all, 1e-7);
}

TEST(PickExperts, OfEqualsTakesTheFirst) {
  const std::array<float, 5> scores = {1, 3, 3, 1, 3};
  std::array<ExpertPick, 4> picks{};
  pick_experts({.count = 5, .per_token = 4}, scores, picks);
  const std::array<std::int64_t, 4> want = {1, 2, 4, 0};
  for (std::size_t i = 0; i < want.size(); ++i) EXPECT_EQ(picks[i].expert, want[i]);
}

TEST(PickExperts, SurvivesScoresThatOverflowTheExponential) {
  const std::array<float, 3> scores = {1e30F, -1e30F, 900};
  std::array<ExpertPick, 2> picks{};
  pick_experts({.count = 3, .per_token = 2}, scores, picks);
  EXPECT_EQ(picks[0].weight, 1);
  EXPECT_EQ(picks[1].weight, 0);
}

class Counter final : public LinearObserver {
 public:
  void observe(const Parameter& linear, const float* /*x*/, std::int64_t tokens) override {
    auto& [calls, rows] = seen[linear.name];
    ++calls;
    rows += tokens;
  }
  std::map<std::string, std::pair<std::int64_t, std::int64_t>> seen;
};

TEST(Experts, RunOnceForAllOfTheirTokensAndEveryTokenReachesItsNumber) {
  const auto runtime = fixtures::load_model(fixtures::model_data("qwen3-moe"));
  ASSERT_NE(runtime, nullptr);
  std::vector<std::int32_t> ids(40);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int32_t>(3 + i * 7 % 90);
  ThreadPool pool(2);
  KvCache cache(runtime->config(), 40);
  const Segment segment = {.tokens = ids, .cache = &cache, .logits_from = 39};
  std::vector<float> logits;
  Counter counter;
  ASSERT_TRUE(runtime->forward({&segment, 1}, pool, logits, &counter).has_value());
  const Graph& graph = *runtime->checkpoint().graph();
  for (const std::int64_t layer : {0, 2}) {
    EXPECT_EQ(counter.seen[graph.find(Role::kRouter, layer)->name], std::pair(1L, 40L));
    std::int64_t routed = 0;
    for (std::int64_t e = 0; e < 6; ++e) {
      const auto gate = counter.seen[graph.find(Role::kGate, layer, e)->name];
      EXPECT_LE(gate.first, 1);
      EXPECT_EQ(counter.seen[graph.find(Role::kUp, layer, e)->name], gate);
      EXPECT_EQ(counter.seen[graph.find(Role::kDown, layer, e)->name], gate);
      routed += gate.second;
    }
    EXPECT_EQ(routed, 40 * 3);
  }
  EXPECT_EQ(counter.seen[graph.find(Role::kGate, 1)->name].second, 40);
}

TEST(Experts, GiveTheSameLogitsAtAnyThreadCount) {
  const auto runtime = fixtures::load_model(fixtures::model_data("mixtral"));
  ASSERT_NE(runtime, nullptr);
  std::vector<std::int32_t> ids(60);
  for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::int32_t>(3 + i * 11 % 90);
  const auto one = fixtures::logits_of(*runtime, ids, 1);
  for (const int threads : {2, 3}) EXPECT_EQ(fixtures::logits_of(*runtime, ids, threads), one);
}

}  // namespace
}  // namespace quantlane
