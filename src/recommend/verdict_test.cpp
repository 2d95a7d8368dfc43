#include "recommend/verdict.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/rng.h"
#include "recommend/embedded_data.h"

namespace quantlane {
namespace {

using ::testing::HasSubstr;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

Margins defaults() { return margins_in_force({}).value(); }

Quality good_quality() {
  Quality quality;
  quality.divergence.ppl_ratio = {1.01, 1.005, 1.015};
  quality.divergence.kld_mean = {0.03, 0.025, 0.035};
  quality.divergence.top1_agreement = {0.92, 0.91, 0.93};
  quality.tasks = {{"code", 400, 300, 299, 5, 4}, {"chat", 400, 320, 321, 4, 5}};
  return quality;
}

const AxisVerdict& axis(const Judgement& judgement, std::string_view name) {
  const auto found = std::find_if(judgement.axes.begin(), judgement.axes.end(),
                                  [&](const AxisVerdict& a) { return a.axis == name; });
  if (found == judgement.axes.end()) throw std::runtime_error(std::string(name));
  return *found;
}

TEST(Gates, EmbeddedDefaultsHaveEveryFieldOfTheSchema) {
  const Json json = embedded_recommend_json("data/gates/default.json").value();
  ASSERT_EQ(json["margins"].items().size(), 6u);
  for (const Json& row : json["margins"].items()) {
    EXPECT_EQ(row.members().size(), 4u);
    EXPECT_FALSE(row["gate"].string().empty());
    EXPECT_GT(row["margin"].number(), 0);
    EXPECT_FALSE(row["why"].string().empty());
    EXPECT_THAT((std::vector<std::string_view>{"ratio", "nats", "points"}),
                ::testing::Contains(row["unit"].string()));
  }
  EXPECT_GT(json["task_floor"].number(), 0);
  EXPECT_EQ(defaults().size(), 7u);
}

TEST(Gates, OverridesReplaceDefaultsAndMayNameOneSet) {
  const Margins margins = margins_in_force({{"kld", 0.05}, {"task:code", 1}}).value();
  EXPECT_EQ(margins.at("kld"), 0.05);
  EXPECT_EQ(margins.at("task:code"), 1);
  EXPECT_EQ(margins.at("ppl"), defaults().at("ppl"));
}

TEST(Gates, RefusesUnknownGatesAndSenselessMargins) {
  const auto unknown = margins_in_force({{"kl", 0.05}});
  ASSERT_FALSE(unknown);
  EXPECT_EQ(unknown.error().code, ErrorCode::kUsage);
  EXPECT_THAT(unknown.error().message(), HasSubstr("kld"));
  EXPECT_FALSE(margins_in_force({{"ppl", 0.9}}));
  EXPECT_FALSE(margins_in_force({{"kld", -0.1}}));
  EXPECT_FALSE(margins_in_force({{"tasks", 100}}));
  EXPECT_FALSE(margins_in_force({{"kld", kNan}}));
}

TEST(Judge, ShipsWhenEveryAxisIsNonInferior) {
  const Judgement judgement = judge(good_quality(), 10240, defaults());
  EXPECT_EQ(judgement.verdict, Verdict::kShip);
  EXPECT_EQ(judgement.axes.size(), 6u);
  EXPECT_EQ(judgement.more_tokens, 0);
  EXPECT_EQ(judgement.more_items, 0);
  EXPECT_NEAR(axis(judgement, "top1").estimate.value, 8, 1e-9);
  EXPECT_NEAR(axis(judgement, "top1").estimate.low, 7, 1e-9);
  EXPECT_NEAR(axis(judgement, "top1").estimate.high, 9, 1e-9);
}

TEST(Judge, OneInferiorAxisBlocks) {
  Quality quality = good_quality();
  quality.divergence.kld_mean = {0.2, 0.18, 0.22};
  const Judgement judgement = judge(quality, 10240, defaults());
  EXPECT_EQ(judgement.verdict, Verdict::kDoNotShip);
  EXPECT_EQ(axis(judgement, "kld").verdict, Verdict::kDoNotShip);
  EXPECT_EQ(axis(judgement, "ppl").verdict, Verdict::kShip);
}

TEST(Judge, TheEnginesFiguresDecideWhereThereAreAny) {
  Quality quality = good_quality();
  quality.engine = EngineQuality{.ppl = 1, .divergence = quality.divergence};
  quality.engine->divergence.kld_mean = {0.2, 0.18, 0.22};
  const Judgement judgement = judge(quality, 10240, defaults());
  EXPECT_EQ(judgement.verdict, Verdict::kDoNotShip);
  EXPECT_EQ(axis(judgement, "kld").estimate.value, 0.2);
}

TEST(Judge, StraddlingTheMarginIsInconclusiveAndSaysHowManyMore) {
  Quality quality = good_quality();
  quality.divergence.kld_mean = {0.09, 0.07, 0.11};
  quality.tasks = {{"code", 120, 90, 90, 4, 4}};
  const Judgement judgement = judge(quality, 10240, defaults());
  EXPECT_EQ(judgement.verdict, Verdict::kInconclusive);
  EXPECT_EQ(judgement.more_tokens, axis(judgement, "kld").more_samples);
  EXPECT_GT(judgement.more_tokens, 10240);
  EXPECT_EQ(judgement.more_items, std::max(axis(judgement, "tasks").more_samples,
                                           axis(judgement, "task:code").more_samples));
  EXPECT_GT(judgement.more_items, 0);
}

TEST(Judge, ABrokenLaneWithoutNumbersDoesNotShip) {
  Quality quality = good_quality();
  quality.divergence.ppl_ratio = {kNan, kNan, kNan};
  EXPECT_EQ(judge(quality, 10240, defaults()).verdict, Verdict::kDoNotShip);
}

TEST(Judge, NothingMeasuredIsInconclusive) {
  EXPECT_EQ(judge({}, 0, defaults()).verdict, Verdict::kInconclusive);
  EXPECT_TRUE(judge({}, 0, defaults()).axes.empty());
}

TEST(Judge, ASetTheReferenceCannotDoIsReportedButNeitherGatesNorPools) {
  Quality quality = good_quality();
  quality.tasks.push_back({"olympiad", 120, 2, 0, 2, 0});
  const Judgement judgement = judge(quality, 10240, defaults());
  EXPECT_EQ(judgement.verdict, Verdict::kShip);
  EXPECT_FALSE(axis(judgement, "task:olympiad").gates);
  EXPECT_TRUE(axis(judgement, "task:code").gates);
  // 0.125 points = (9 - 9) / 800: the two lost items of the olympiad are not pooled.
  EXPECT_NEAR(axis(judgement, "tasks").estimate.value, 0, 1e-9);
}

TEST(Judge, HolmNeedsMoreEvidenceAgainstOneOfManySets) {
  // 29 lost, 8 gained of 120: loss 17.5 points, one-sided p against 8 points about 0.02.
  Quality alone;
  alone.tasks = {{"s0", 120, 90, 69, 29, 8}};
  Margins margins = defaults();
  margins["tasks"] = 90;  // only single sets matter here
  const Judgement single = judge(alone, 0, margins);
  ASSERT_EQ(axis(single, "task:s0").verdict, Verdict::kDoNotShip);
  Quality many = alone;
  for (int i = 1; i < 8; ++i) many.tasks.push_back({std::to_string(i), 120, 90, 90, 1, 1});
  const Judgement family = judge(many, 0, margins);
  EXPECT_EQ(axis(family, "task:s0").verdict, Verdict::kInconclusive);
  EXPECT_GT(axis(family, "task:s0").more_samples, 0);
  EXPECT_EQ(family.verdict, Verdict::kInconclusive);
  // A clear loss survives the adjustment.
  many.tasks[0] = {"s0", 120, 90, 50, 42, 2};
  EXPECT_EQ(judge(many, 0, margins).verdict, Verdict::kDoNotShip);
}

TEST(Judge, AMarginOfItsOwnAppliesToOneSet) {
  Margins margins = margins_in_force({{"task:code", 0.5}}).value();
  const Judgement judgement = judge(good_quality(), 10240, margins);
  EXPECT_EQ(axis(judgement, "task:code").margin, 0.5);
  EXPECT_EQ(axis(judgement, "task:code").verdict, Verdict::kInconclusive);
  EXPECT_EQ(axis(judgement, "task:chat").margin, 8);
}

TEST(Judge, WiderMarginsNeverTurnShipIntoAnythingElse) {
  Rng rng(5);
  for (int trial = 0; trial < 200; ++trial) {
    Quality quality = good_quality();
    const double kld = rng.uniform() * 0.2;
    const double half = rng.uniform() * 0.05;
    quality.divergence.kld_mean = {kld, kld - half, kld + half};
    int rank = 0;  // do not ship < inconclusive < ship
    for (const double margin : {0.01, 0.03, 0.06, 0.1, 0.2, 0.4}) {
      const Verdict verdict =
          judge(quality, 10240, margins_in_force({{"kld", margin}}).value()).verdict;
      const int now = verdict == Verdict::kDoNotShip      ? 0
                      : verdict == Verdict::kInconclusive ? 1
                                                          : 2;
      EXPECT_GE(now, rank) << kld << " " << half << " " << margin;
      rank = now;
    }
  }
}

TEST(Judge, AnIdenticalLaneShipsAndAWorseOneDoesNotMostOfTheTime) {
  Rng rng(99);
  int shipped_equal = 0;
  int blocked_worse = 0;
  int shipped_worse = 0;
  constexpr int kTrials = 200;
  for (int trial = 0; trial < kTrials; ++trial) {
    for (const double loss : {0.0, 0.1}) {
      Quality quality;
      for (int set = 0; set < 5; ++set) {
        TaskScore score{.name = std::to_string(set), .n = 120, .reference = 90, .lane = 90};
        for (int item = 0; item < 120; ++item) {
          const double u = rng.uniform();
          if (u < 0.02 + loss) {
            ++score.lost;
          } else if (u < 0.04 + loss) {
            ++score.gained;
          }
        }
        quality.tasks.push_back(score);
      }
      const Verdict verdict = judge(quality, 0, defaults()).verdict;
      if (loss == 0) {
        shipped_equal += verdict == Verdict::kShip;
      } else {
        blocked_worse += verdict == Verdict::kDoNotShip;
        shipped_worse += verdict == Verdict::kShip;
      }
    }
  }
  RecordProperty("shipped_equal", shipped_equal);
  EXPECT_GT(blocked_worse, kTrials * 9 / 10);
  EXPECT_EQ(shipped_worse, 0);
  EXPECT_GT(shipped_equal, kTrials * 3 / 5);
}

TEST(ShipsAbove, IsTheMarginWhereTheVerdictTurns) {
  const Judgement judgement = judge(good_quality(), 10240, defaults());
  const double least = ships_above(axis(judgement, "kld"));
  const auto at = [&](double margin) {
    return axis(judge(good_quality(), 10240, margins_in_force({{"kld", margin}}).value()), "kld")
        .verdict;
  };
  EXPECT_EQ(at(least * 1.0001), Verdict::kShip);
  EXPECT_NE(at(least * 0.9999), Verdict::kShip);
}

}  // namespace
}  // namespace quantlane
