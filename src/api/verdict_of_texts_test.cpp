// From scores of tokens to verdicts: what too little text cannot prove.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "core/rng.h"
#include "core/stats.h"
#include "eval/text_scores.h"
#include "recommend/verdict.h"

namespace quantlane {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Skewed as divergences are: a few tokens carry most of the mean; chunks differ by `spread`.
TokenScores skewed(Rng& rng, int chunks, double scale, double spread) {
  TokenScores scores;
  for (int chunk = 0; chunk < chunks; ++chunk) {
    const double level = scale * std::exp(spread * (rng.uniform() - 0.5));
    for (int token = 0; token < 8; ++token) {
      const double kld = level * -std::log(1 - rng.uniform());
      scores.kld.push_back(static_cast<float>(kld));
      scores.reference_nll.push_back(static_cast<float>(3 * rng.uniform()));
      scores.nll.push_back(
          static_cast<float>(scores.reference_nll.back() + 3 * level * (rng.uniform() - 0.3)));
      scores.same_top.push_back(rng.uniform() < std::sqrt(kld) ? 0 : 1);
      scores.chunk.push_back(chunk);
    }
  }
  return scores;
}

// The lower one-sided bound over chunk means (all of eight tokens): the half-width of the two-sided
// t interval times 1.645/1.96, from -infinity upwards.
double lower_bound(const std::vector<double>& values) {
  std::vector<double> means;
  for (std::size_t i = 0; i < values.size(); i += 8) {
    double sum = 0;
    for (std::size_t j = i; j < i + 8; ++j) sum += values[j] / 8;
    means.push_back(sum);
  }
  if (means.size() < 2) return -kInfinity;
  const auto count = static_cast<double>(means.size());
  double mean = 0;
  for (const double value : means) mean += value / count;
  double squares = 0;
  for (const double value : means) squares += (value - mean) * (value - mean);
  const double error = std::sqrt(squares / (count - 1) / count);
  return mean - student_t_quantile(0.975, count - 1) * error * 1.644854 / 1.959964;
}

TEST(VerdictOfTexts, DoNotShipMeansThatTheUncutLowerBoundIsAboveTheMargin) {
  const Margins margins = margins_in_force({}).value();
  Rng rng(23);
  int blocked = 0;
  for (int round = 0; round < 3000; ++round) {
    const int chunks = 1 + round % 6;
    const TokenScores scores =
        skewed(rng, chunks, std::exp(6 * rng.uniform() - 4), 5 * rng.uniform());
    const EvalResult result = summarize(scores);
    Quality quality;
    quality.divergence = *result.divergence;
    std::vector<double> kld(scores.kld.begin(), scores.kld.end());
    std::vector<double> ratio;
    std::vector<double> lost;
    for (std::size_t i = 0; i < kld.size(); ++i) {
      ratio.push_back(static_cast<double>(scores.nll[i]) -
                      static_cast<double>(scores.reference_nll[i]));
      lost.push_back(scores.same_top[i] == 0 ? 100 : 0);
    }
    for (const AxisVerdict& axis :
         judge(quality, static_cast<std::int64_t>(kld.size()), margins).axes) {
      EXPECT_TRUE(chunks > 1 || axis.verdict == Verdict::kInconclusive) << axis.axis;
      if (axis.verdict != Verdict::kDoNotShip) continue;
      ++blocked;
      const double bound = lower_bound(axis.axis == "ppl"   ? ratio
                                       : axis.axis == "kld" ? kld
                                                            : lost);
      const double margin = axis.axis == "ppl" ? std::log(axis.margin) : axis.margin;
      EXPECT_GT(bound, margin - 1e-5) << axis.axis << " with " << chunks << " chunks";
    }
  }
  EXPECT_GT(blocked, 300);
}

TEST(VerdictOfTexts, OneChunkAsksForAsMuchTextAgainHoweverLargeTheLoss) {
  Rng rng(5);
  const TokenScores scores = skewed(rng, 1, 5, 0);
  Quality quality;
  quality.divergence = *summarize(scores).divergence;
  EXPECT_EQ(quality.divergence.kld_mean.low, 0) << "what is shown ends at zero";
  EXPECT_EQ(quality.divergence.kld_mean.one_sided_low, -kInfinity);
  const Judgement judgement =
      judge(quality, 8, margins_in_force({{"kld", 0.001}, {"top1", 0}}).value());
  EXPECT_EQ(judgement.verdict, Verdict::kInconclusive);
  for (const AxisVerdict& axis : judgement.axes) EXPECT_GE(axis.more_samples, 8) << axis.axis;
}

TEST(VerdictOfTexts, WideIntervalsAskForMoreTextThanTheirCutWidth) {
  // Chunk means 0.1 and 1.15: half-width of the t interval 12.706 * 0.525 = 6.67.
  TokenScores scores;
  for (int chunk = 0; chunk < 2; ++chunk) {
    for (int token = 0; token < 8; ++token) {
      scores.kld.push_back(chunk == 0 ? 0.1F : 1.15F);
      scores.nll.push_back(1);
      scores.reference_nll.push_back(1);
      scores.same_top.push_back(1);
      scores.chunk.push_back(chunk);
    }
  }
  Quality quality;
  quality.divergence = *summarize(scores).divergence;
  const Judgement judgement = judge(quality, 16, margins_in_force({}).value());
  for (const AxisVerdict& axis : judgement.axes) {
    if (axis.axis != "kld") continue;
    EXPECT_EQ(axis.verdict, Verdict::kInconclusive);
    const double half = 12.7062 * 0.525 * 1.644854 / 1.959964;
    const double ratio = half * (1 + 0.841621 / 1.644854) / (0.625 - 0.1);
    EXPECT_NEAR(static_cast<double>(axis.more_samples), 16 * (ratio * ratio - 1), 3);
  }
}

}  // namespace
}  // namespace quantlane
