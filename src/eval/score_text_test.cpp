#include "eval/score_text.h"

#include <algorithm>
#include <cmath>

#include "core/rng.h"
#include "runtime/runtime_fixtures.h"

namespace quantlane {
namespace {

// -log softmax(row)[target], in double.
double naive_nll(const float* row, std::int64_t vocab, std::int32_t target) {
  const auto top = static_cast<double>(*std::max_element(row, row + vocab));
  double sum = 0;
  for (std::int64_t i = 0; i < vocab; ++i) sum += std::exp(static_cast<double>(row[i]) - top);
  return std::log(sum) + top - static_cast<double>(row[target]);
}

double naive_kld(const float* p, const float* q, std::int64_t vocab) {
  double sum = 0;
  for (std::int64_t i = 0; i < vocab; ++i) {
    const double log_p = -naive_nll(p, vocab, static_cast<std::int32_t>(i));
    const double log_q = -naive_nll(q, vocab, static_cast<std::int32_t>(i));
    sum += std::exp(log_p) * (log_p - log_q);
  }
  return sum;
}

TokenChunks random_chunks(std::int64_t chunk, std::int64_t count, std::int64_t vocab) {
  Rng rng(5);
  TokenChunks chunks{.chunk = chunk, .tokens = {}};
  for (std::int64_t i = 0; i < chunk * count; ++i)
    chunks.tokens.push_back(
        static_cast<std::int32_t>(rng.below(static_cast<std::uint64_t>(vocab))));
  return chunks;
}

class ScoreText : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(model_, nullptr);
    ASSERT_NE(other_, nullptr);
    ASSERT_EQ(vocab(), other_->config().vocab_size);
  }
  [[nodiscard]] std::int64_t vocab() const { return model_->config().vocab_size; }
  TokenScores score(Runtime* reference, Runtime& runtime, const TokenChunks& chunks,
                    TokenScores partial = {}, PassShape shape = {}) {
    ScoredRun candidate{.runtime = &runtime, .scores = std::move(partial), .shape = shape};
    const auto done =
        score_text(reference, std::span(&candidate, 1), chunks, pool_, no_progress(), {});
    EXPECT_TRUE(done.has_value()) << done.error().message();
    return std::move(candidate.scores);
  }

  const std::unique_ptr<Runtime> model_ = fixtures::load_model(fixtures::model_data("llama"));
  const std::unique_ptr<Runtime> other_ = fixtures::load_model(fixtures::model_data("mistral"));
  ThreadPool pool_{2};
};

void expect_same(const TokenScores& a, const TokenScores& b) {
  EXPECT_EQ(a.nll, b.nll);
  EXPECT_EQ(a.chunk, b.chunk);
  EXPECT_EQ(a.reference_nll, b.reference_nll);
  EXPECT_EQ(a.kld, b.kld);
  EXPECT_EQ(a.same_top, b.same_top);
}

TEST_F(ScoreText, ScoresTheSecondHalfAsANaiveLoopDoes) {
  for (const std::int64_t length : {16, 15, 2}) {
    const TokenChunks chunks = random_chunks(length, 3, vocab());
    const TokenScores scores = score(other_.get(), *model_, chunks);
    std::size_t next = 0;
    for (std::int64_t i = 0; i < 3; ++i) {
      const std::vector<std::int32_t> ids(chunks[i].begin(), chunks[i].end());
      const auto own = fixtures::logits_of(*model_, ids);
      const auto reference = fixtures::logits_of(*other_, ids);
      for (std::int64_t t = length / 2; t < length; ++t, ++next) {
        ASSERT_LT(next, scores.nll.size());
        const float* p = reference.data() + (t - 1) * vocab();
        const float* q = own.data() + (t - 1) * vocab();
        const std::int32_t target = ids[static_cast<std::size_t>(t)];
        EXPECT_NEAR(static_cast<double>(scores.nll[next]), naive_nll(q, vocab(), target), 1e-5);
        EXPECT_NEAR(static_cast<double>(scores.reference_nll[next]), naive_nll(p, vocab(), target),
                    1e-5);
        EXPECT_NEAR(static_cast<double>(scores.kld[next]), naive_kld(p, q, vocab()), 1e-5);
        const bool same =
            std::max_element(p, p + vocab()) - p == std::max_element(q, q + vocab()) - q;
        EXPECT_EQ(scores.same_top[next] != 0, same);
        EXPECT_EQ(scores.chunk[next], i);
      }
    }
    EXPECT_EQ(next, scores.nll.size());
  }
}

TEST_F(ScoreText, AModelAgreesWithItself) {
  const EvalResult result = summarize(score(model_.get(), *model_, random_chunks(16, 4, vocab())));
  ASSERT_TRUE(result.divergence.has_value());
  EXPECT_EQ(result.divergence->kld_max, 0);
  EXPECT_EQ(result.divergence->flips, 0);
  EXPECT_EQ(result.divergence->top1_agreement.value, 1);
  EXPECT_EQ(result.divergence->ppl_ratio.value, 1);
}

TEST_F(ScoreText, PiecesGiveTheSameScoresButRounding) {
  const TokenChunks chunks = random_chunks(24, 2, vocab());
  const TokenScores whole = score(model_.get(), *model_, chunks);
  for (const std::int64_t piece : {1, 5, 12, 23}) {
    const TokenScores pieces = score(model_.get(), *model_, chunks, {}, {.piece = piece});
    ASSERT_EQ(pieces.nll.size(), whole.nll.size()) << piece;
    for (std::size_t i = 0; i < whole.nll.size(); ++i)
      EXPECT_NEAR(pieces.nll[i], whole.nll[i], 1e-4) << piece;
  }
}

// 16 chunks of 256 take two passes of 2048 tokens; a run that stopped after any chunk goes on.
TEST_F(ScoreText, ResumesWhereItStopped) {
  const TokenChunks chunks = random_chunks(256, 16, vocab());
  const TokenScores whole = score(other_.get(), *model_, chunks);
  ASSERT_EQ(whole.nll.size(), 16U * 128);
  for (const std::size_t done : {0U, 3U, 8U, 16U}) {
    TokenChunks first{.chunk = 256, .tokens = chunks.tokens};
    first.tokens.resize(done * 256);
    const TokenScores partial = score(other_.get(), *model_, first);
    ASSERT_EQ(partial.nll.size(), done * 128);
    expect_same(score(other_.get(), *model_, chunks, partial), whole);
  }
}

TEST_F(ScoreText, OtherVocabulariesAreRefused) {
  const auto stories = fixtures::load_model(fixtures::model_data("stories260K"));
  ASSERT_NE(stories, nullptr);
  ScoredRun candidate{.runtime = stories.get(), .scores = {}, .shape = {}};
  const auto done = score_text(model_.get(), std::span(&candidate, 1), random_chunks(8, 1, vocab()),
                               pool_, no_progress(), {});
  ASSERT_FALSE(done.has_value());
  EXPECT_EQ(done.error().code, ErrorCode::kInvalidArgument);
}

TEST_F(ScoreText, SlidingWindowsScoreEveryTokenButTheFirst) {
  const auto tokens = random_chunks(53, 1, vocab()).tokens;
  for (const auto& [window, stride] :
       {std::pair<std::int64_t, std::int64_t>{16, 8}, {16, 15}, {20, 7}, {2, 1}, {100, 10}}) {
    const auto scores = score_sliding(*model_, tokens, window, stride, pool_, no_progress());
    ASSERT_TRUE(scores.has_value()) << scores.error().message();
    ASSERT_EQ(scores->nll.size(), 52U);
    std::int64_t done = 1;
    for (std::int32_t cluster = 0; done < 53; ++cluster) {
      const std::int64_t end = std::min<std::int64_t>(53, done == 1 ? window : done + stride);
      const std::int64_t begin = std::max<std::int64_t>(0, end - window);
      const auto logits =
          fixtures::logits_of(*model_, {tokens.begin() + begin, tokens.begin() + end});
      for (; done < end; ++done) {
        const auto i = static_cast<std::size_t>(done - 1);
        EXPECT_NEAR(static_cast<double>(scores->nll[i]),
                    naive_nll(logits.data() + (done - 1 - begin) * vocab(), vocab(),
                              tokens[static_cast<std::size_t>(done)]),
                    1e-4);
        EXPECT_EQ(scores->chunk[i], cluster);
      }
    }
  }
  EXPECT_FALSE(score_sliding(*model_, tokens, 8, 8, pool_, no_progress()).has_value());
  EXPECT_FALSE(score_sliding(*model_, tokens, 8, 0, pool_, no_progress()).has_value());
}

}  // namespace
}  // namespace quantlane
