#include "eval/text_scores.h"

#include <algorithm>
#include <cmath>

#include "core/rng.h"
#include "core/stats.h"
#include "model/checkpoint_fixtures.h"

namespace quantlane {
namespace {

TokenScores made_up(std::size_t count, bool paired) {
  Rng rng(11);
  TokenScores scores;
  for (std::size_t i = 0; i < count; ++i) {
    scores.nll.push_back(static_cast<float>(rng.uniform() * 6));
    scores.chunk.push_back(static_cast<std::int32_t>(i / 10));
    if (!paired) continue;
    scores.reference_nll.push_back(static_cast<float>(rng.uniform() * 6));
    scores.kld.push_back(static_cast<float>(rng.uniform()));
    scores.same_top.push_back(rng.uniform() < 0.8 ? 1 : 0);
  }
  return scores;
}

// Mean and 95 % interval of chunks of equal length: t with n - 1 degrees over the chunk means.
Interval over_chunks(const std::vector<double>& values, std::size_t length) {
  std::vector<double> means;
  for (std::size_t i = 0; i < values.size(); i += length) {
    double sum = 0;
    for (std::size_t j = 0; j < length; ++j) sum += values[i + j];
    means.push_back(sum / static_cast<double>(length));
  }
  double mean = 0;
  for (const double m : means) mean += m / static_cast<double>(means.size());
  double squares = 0;
  for (const double m : means) squares += (m - mean) * (m - mean);
  const auto n = static_cast<double>(means.size());
  const double half = student_t_quantile(0.975, n - 1) * std::sqrt(squares / (n * (n - 1)));
  return {.value = mean, .low = mean - half, .high = mean + half};
}

void expect_interval(const Interval& got, const Interval& want) {
  EXPECT_NEAR(got.value, want.value, 1e-9);
  EXPECT_NEAR(got.low, want.low, 1e-7);
  EXPECT_NEAR(got.high, want.high, 1e-7);
}

TEST(TextScores, SummaryIsThatOfTheFormulas) {
  const TokenScores scores = made_up(200, true);
  const EvalResult result = summarize(scores);
  std::vector<double> ratio;
  std::vector<double> delta;
  std::vector<double> top;
  double nll = 0;
  for (std::size_t i = 0; i < 200; ++i) {
    const auto own = static_cast<double>(scores.nll[i]);
    const auto reference = static_cast<double>(scores.reference_nll[i]);
    nll += own / 200;
    ratio.push_back(own - reference);
    delta.push_back(std::pow(std::exp(-own) - std::exp(-reference), 2));
    top.push_back(scores.same_top[i]);
  }
  EXPECT_EQ(result.tokens_scored, 200);
  EXPECT_NEAR(result.nll, nll, 1e-9);
  EXPECT_NEAR(result.ppl, std::exp(nll), 1e-7);
  ASSERT_TRUE(result.divergence.has_value());
  const Divergence& d = *result.divergence;
  const Interval log_ratio = over_chunks(ratio, 10);
  expect_interval(d.ppl_ratio, {.value = std::exp(log_ratio.value),
                                .low = std::exp(log_ratio.low),
                                .high = std::exp(log_ratio.high)});
  const std::vector<double> kld(scores.kld.begin(), scores.kld.end());
  expect_interval(d.kld_mean, over_chunks(kld, 10));
  EXPECT_DOUBLE_EQ(d.kld_max, *std::max_element(kld.begin(), kld.end()));
  auto sorted = kld;
  std::sort(sorted.begin(), sorted.end());
  const double place = 0.99 * 199;
  const auto below = static_cast<std::size_t>(place);
  EXPECT_NEAR(
      d.kld_p99,
      sorted[below] + (place - static_cast<double>(below)) * (sorted[below + 1] - sorted[below]),
      1e-9);
  expect_interval(d.top1_agreement, over_chunks(top, 10));
  EXPECT_EQ(d.flips, std::count(top.begin(), top.end(), 0.0));
  const Interval squared = over_chunks(delta, 10);
  expect_interval(d.rms_delta_p, {.value = std::sqrt(squared.value),
                                  .low = std::sqrt(std::max(0.0, squared.low)),
                                  .high = std::sqrt(squared.high)});
}

TEST(TextScores, WithoutAReferenceThereIsNoDivergence) {
  EXPECT_FALSE(summarize(made_up(20, false)).divergence.has_value());
  const EvalResult nothing = summarize({});
  EXPECT_EQ(nothing.tokens_scored, 0);
  EXPECT_FALSE(nothing.divergence.has_value());
}

TEST(TextScores, SavesAndLoadsUnderItsKey) {
  const fixtures::ScratchFolder scratch;
  const fs::path path = scratch.path() / "scores.safetensors";
  for (const bool paired : {true, false}) {
    const TokenScores scores = made_up(50, paired);
    ASSERT_TRUE(scores.save(path, "key 1").has_value());
    const TokenScores loaded = TokenScores::load(path, "key 1");
    EXPECT_EQ(loaded.nll, scores.nll);
    EXPECT_EQ(loaded.chunk, scores.chunk);
    EXPECT_EQ(loaded.reference_nll, scores.reference_nll);
    EXPECT_EQ(loaded.kld, scores.kld);
    EXPECT_EQ(loaded.same_top, scores.same_top);
    EXPECT_EQ(TokenScores::load(path, "key 2").count(), 0);
  }
  ASSERT_TRUE(TokenScores{}.save(path, "k").has_value());
  EXPECT_EQ(TokenScores::load(path, "k").count(), 0);
}

TEST(TextScores, DamagedFilesGiveNothing) {
  const fixtures::ScratchFolder scratch;
  const fs::path path = scratch.path() / "scores.safetensors";
  EXPECT_EQ(TokenScores::load(path, "k").count(), 0);
  ASSERT_TRUE(write_text(path, "not scores").has_value());
  EXPECT_EQ(TokenScores::load(path, "k").count(), 0);
  TokenScores scores = made_up(50, true);
  scores.kld.pop_back();  // neither paired nor unpaired
  ASSERT_TRUE(scores.save(path, "k").has_value());
  EXPECT_EQ(TokenScores::load(path, "k").count(), 0);
  scores = made_up(50, true);
  scores.chunk.pop_back();
  ASSERT_TRUE(scores.save(path, "k").has_value());
  EXPECT_EQ(TokenScores::load(path, "k").count(), 0);
}

}  // namespace
}  // namespace quantlane
