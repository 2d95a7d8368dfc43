// Importance matrices of models: our own passes against llama-imatrix's, and what does not fit.
#include "calibrate/imatrix_model.h"

#include <algorithm>
#include <cmath>

#include <gmock/gmock.h>

#include "calibrate/collect.h"
#include "runtime/runtime_fixtures.h"

namespace quantlane {
namespace {

using fixtures::ScratchFolder;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

using fixtures::kCanary;

// One pass over `text`; the statistics, not finished where something failed.
Statistics pass(const std::shared_ptr<const Checkpoint>& model, const std::string& text,
                std::int64_t chunk, std::int64_t chunks, HeadRows head) {
  ThreadPool pool(2);
  auto runtime = Runtime::load(model);
  EXPECT_TRUE(runtime.has_value());
  const auto tokens = make_chunks(*model, text, "text", chunk, chunks);
  EXPECT_TRUE(tokens.has_value());
  auto statistics = collect_statistics(**runtime, *tokens, pool, no_progress(), head);
  EXPECT_TRUE(statistics.has_value());
  return std::move(statistics).value_or(Statistics());
}

double largest_relative_difference(const std::vector<double>& got,
                                   const std::vector<double>& want) {
  if (got.size() != want.size()) return 1e9;
  double worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i)
    worst = std::max(worst, std::abs(got[i] - want[i]) / want[i]);
  return worst;
}

// The committed matrix was made by llama-imatrix from this model and text in chunks of 128.
TEST(ImatrixModel, APassAgreesWithLlamaImatrix) {
  const fs::path folder = fixtures::shared_data("formats/gguf-quantized");
  if (!fs::exists(folder)) GTEST_SKIP() << "no " << folder;
  const ScratchFolder scratch;
  const fs::path file = scratch.path() / "tiny.gguf";
  if (!fixtures::unpack_xz(folder / "gguf/tiny-F32.gguf.xz", file)) GTEST_SKIP() << "no xz";
  const auto model = fixtures::open_checkpoint(file);
  ASSERT_NE(model, nullptr);
  const auto text = read_text(folder / "imatrix/cal6k.txt");
  const auto want = read_imatrix(QUANTLANE_SOURCE_DIR "/tests/data/containers/gguf/imatrix.gguf");
  ASSERT_TRUE(text.has_value() && want.has_value());
  const Imatrix got = imatrix_of(pass(model, *text, 128, 24, HeadRows::kNone), *model->graph());
  ASSERT_EQ(got.entries.size(), want->entries.size());
  for (const auto& [name, entry] : want->entries) {
    const auto own = got.entries.find(name);
    ASSERT_NE(own, got.entries.end()) << name;
    EXPECT_EQ(own->second.counts, entry.counts) << name;
    // llama-imatrix kept keys and values in half precision; with float32 (-ctk f32 -ctv f32 -fa
    // off) all entries agree to 9e-6, its rounding of running sums (docs/measurements/imatrix.md).
    const bool before_attention = name.starts_with("blk.0.attn_") && !name.contains("output");
    EXPECT_LT(largest_relative_difference(own->second.sums, entry.sums),
              before_attention ? 2e-5 : 1e-3)
        << name;
  }
}

class MatchImatrix : public testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(model_, nullptr); }
  [[nodiscard]] const Graph& graph() const { return *model_->graph(); }
  // The widths of every Linear of the model, importance 1.
  [[nodiscard]] Imatrix flat() const {
    Statistics statistics;
    for (const Parameter& p : graph().parameters) {
      if (!is_linear(p.role) && p.role != Role::kEmbedding) continue;
      statistics.set(std::string(p.module()),
                     {.sum_squares = std::vector<double>(static_cast<std::size_t>(p.cols), 8.0),
                      .absmax = {},
                      .tokens = 8});
    }
    Imatrix imatrix = imatrix_of(statistics, graph());
    imatrix.chunk_size = 8;
    return imatrix;
  }
  [[nodiscard]] ImatrixMatch matched(const Imatrix& imatrix) const {
    auto match = match_imatrix(imatrix, graph(), "some.gguf");
    if (!match) ADD_FAILURE() << match.error().message();
    return std::move(match).value_or(ImatrixMatch{});
  }

  const std::shared_ptr<const Checkpoint> model_ = fixtures::open_checkpoint(kCanary);
};

TEST_F(MatchImatrix, FindsEveryLinearOfAPass) {
  const std::string text = read_text(kCanary / "calibration.txt").value_or("");
  const Statistics statistics = pass(model_, text, 64, 4, HeadRows::kAll);
  const ImatrixMatch match = matched(imatrix_of(statistics, graph()));
  EXPECT_THAT(match.notices, IsEmpty());
  for (const Parameter& p : graph().parameters) {
    if (!is_linear(p.role)) continue;
    EXPECT_EQ(match.statistics.importance(p.module(), p.cols),
              statistics.importance(p.module(), p.cols))
        << p.name;
    EXPECT_EQ(match.statistics.modules().at(std::string(p.module())).tokens, 256) << p.name;
  }
}

TEST_F(MatchImatrix, NamesAreThoseOfGguf) {
  const Imatrix imatrix = flat();
  EXPECT_TRUE(imatrix.entries.contains("blk.0.attn_q.weight"));
  EXPECT_TRUE(imatrix.entries.contains("blk.1.ffn_down.weight"));
  const bool tied = graph().config.tied_embeddings;
  EXPECT_EQ(imatrix.entries.contains("token_embd.weight"), tied);
  EXPECT_EQ(imatrix.entries.contains("output.weight"), !tied);
}

TEST_F(MatchImatrix, HeadOfATiedModelIsTheEmbedding) {
  const auto tied = fixtures::open_checkpoint(fixtures::model_data("gemma3"));
  ASSERT_NE(tied, nullptr);
  ASSERT_TRUE(tied->graph()->config.tied_embeddings);
  const Parameter* embedding = tied->graph()->find(Role::kEmbedding, -1);
  Statistics statistics;
  statistics.set(std::string(embedding->module()),
                 {.sum_squares = std::vector<double>(static_cast<std::size_t>(embedding->cols), 2),
                  .absmax = {},
                  .tokens = 1});
  const Imatrix imatrix = imatrix_of(statistics, *tied->graph());
  ASSERT_TRUE(imatrix.entries.contains("token_embd.weight"));
  const auto match = match_imatrix(imatrix, *tied->graph(), "x");
  ASSERT_TRUE(match.has_value());
  EXPECT_FALSE(match->statistics.importance(embedding->module(), embedding->cols).empty());
}

TEST_F(MatchImatrix, RefusesAnotherWidthByName) {
  Imatrix imatrix = flat();
  imatrix.entries.at("blk.1.ffn_up.weight").sums.push_back(1);
  const auto refused = match_imatrix(imatrix, graph(), "some.gguf");
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(refused.error().tensor, "blk.1.ffn_up.weight");
  EXPECT_EQ(refused.error().file, "some.gguf");
}

TEST_F(MatchImatrix, RefusesTheMatrixOfAnotherModel) {
  Imatrix imatrix;
  imatrix.entries["blk.900.attn_q.weight"] = {.sums = {1}, .counts = {1}};
  const auto refused = match_imatrix(imatrix, graph(), "some.gguf");
  ASSERT_FALSE(refused.has_value());
  EXPECT_THAT(refused.error().message(), HasSubstr("blk.900.attn_q.weight"));
}

TEST_F(MatchImatrix, CountsOfZeroAreNotAnotherModel) {
  Imatrix imatrix = flat();
  for (auto& [name, entry] : imatrix.entries) entry.counts = {0};
  const auto refused = match_imatrix(imatrix, graph(), "some.gguf");
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().file, "some.gguf");
  EXPECT_THAT(refused.error().found, HasSubstr("none of which saw a token"));
  EXPECT_THAT(refused.error().hint, Not(HasSubstr("another model")));
}

TEST_F(MatchImatrix, SaysWhatIsMissingAndWhatIsForeign) {
  Imatrix imatrix = flat();
  const std::size_t products = imatrix.entries.size() - 1;
  imatrix.entries.erase("blk.0.attn_q.weight");
  imatrix.entries.at("blk.0.attn_v.weight").counts = {0};
  imatrix.entries.erase(graph().config.tied_embeddings ? "token_embd.weight" : "output.weight");
  imatrix.entries["mm.0.weight"] = {.sums = {1, 1}, .counts = {1}};
  const ImatrixMatch match = matched(imatrix);
  EXPECT_THAT(match.notices,
              ElementsAre("2 of " + std::to_string(products) +
                              " matrices have no entry in the importance matrix and are quantized "
                              "unweighted (blk.0.attn_q.weight, blk.0.attn_v.weight)",
                          HasSubstr("weight has no entry in the importance matrix"),
                          "1 entry of the importance matrix without a matrix of this model "
                          "(mm.0.weight)",
                          "1 entry saw no token (blk.0.attn_v.weight)"));
}

TEST(ImatrixCoverage, CountsColumnsAndExpertsThatNothingReached) {
  Imatrix imatrix;
  EXPECT_THAT(coverage_notices(imatrix), IsEmpty());
  imatrix.uncounted = 2;
  EXPECT_THAT(coverage_notices(imatrix), ElementsAre(HasSubstr("2 entries of 0 chunks")));
  imatrix.uncounted = 0;
  imatrix.entries["dense"] = {.sums = {0, 1, 0, 2}, .counts = {4}};
  for (const char* name : {"blk.0.ffn_up_exps.weight", "blk.0.ffn_down_exps.weight"})
    imatrix.entries[name] = {.sums = {0, 0, 1, 0, 1, 1}, .counts = {0, 3, 500}};
  imatrix.entries["full"] = {.sums = {1, 1}, .counts = {4}};
  EXPECT_THAT(coverage_notices(imatrix),
              ElementsAre("1 of 3 experts saw no token (layer 0: 0)",
                          "1 of 3 experts saw fewer than 64 tokens (layer 0: 1)",
                          HasSubstr("4 input columns were zero for every token (")));
}

}  // namespace
}  // namespace quantlane
