#include "calibrate/expert_coverage.h"

#include <gmock/gmock.h>

#include "calibrate/collect.h"
#include "calibrate/imatrix_model.h"
#include "core/file.h"
#include "runtime/runtime_fixtures.h"

namespace quantlane {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Imatrix matrix_of(const std::vector<std::vector<std::int64_t>>& layers) {
  Imatrix imatrix;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    for (const char* part : {"gate", "up", "down"}) {
      ImatrixEntry entry{.sums = {}, .counts = layers[i]};
      for (const std::int64_t count : layers[i])
        entry.sums.insert(entry.sums.end(), 2, static_cast<double>(count));
      imatrix.entries["blk." + std::to_string(i) + ".ffn_" + part + "_exps.weight"] = entry;
    }
  }
  return imatrix;
}

TEST(ExpertCoverage, CountsEachExpertOnce) {
  const Imatrix imatrix = matrix_of({{100, 0, 63}, {64, 200, 0}});
  const auto coverage = expert_coverage(expert_tokens(imatrix));
  ASSERT_TRUE(coverage.has_value());
  EXPECT_EQ(coverage->experts, 6);
  EXPECT_EQ(coverage->unseen, 2);
  EXPECT_EQ(coverage->scarce, 1);
  EXPECT_EQ(coverage->fewest_tokens, 0);
  EXPECT_EQ(coverage->median_tokens, 64);
  EXPECT_EQ(coverage->most_tokens, 200);
  EXPECT_THAT(expert_notices(expert_tokens(imatrix)),
              ElementsAre("2 of 6 experts saw no token (layer 0: 1; layer 1: 2)",
                          "1 of 6 experts saw fewer than 64 tokens (layer 0: 2)"));
}

TEST(ExpertCoverage, NamesTheFirstOfMany) {
  const std::vector<std::int64_t> none(9, 0);
  const auto notices =
      expert_notices(expert_tokens(matrix_of({none, none, none, none, none, none})));
  EXPECT_THAT(notices,
              ElementsAre("54 of 54 experts saw no token (layer 0: 0, 1, 2, 3, …; layer 1: "
                          "0, 1, 2, 3, …; layer 2: 0, 1, 2, 3, …; layer 3: 0, 1, 2, 3, "
                          "…; …)"));
}

TEST(ExpertCoverage, IsSilentAboutDenseModels) {
  Imatrix imatrix;
  imatrix.entries["blk.0.ffn_up.weight"] = {.sums = {1, 2}, .counts = {3}};
  EXPECT_FALSE(expert_coverage(expert_tokens(imatrix)).has_value());
  EXPECT_THAT(expert_notices(expert_tokens(imatrix)), IsEmpty());
}

class CompleteExperts : public testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(model_, nullptr); }
  [[nodiscard]] const Graph& graph() const { return *model_->graph(); }
  [[nodiscard]] std::string module(Role role, std::int64_t expert) const {
    return std::string(graph().find(role, 0, expert)->module());
  }
  // Layer 0: experts of `tokens`; every input of expert e is e + 1.
  [[nodiscard]] Statistics statistics(const std::vector<std::int64_t>& tokens) const {
    Statistics result;
    for (const Role role : {Role::kGate, Role::kUp, Role::kDown}) {
      for (std::size_t e = 0; e < tokens.size(); ++e) {
        if (tokens[e] == 0) continue;
        const auto expert = static_cast<std::int64_t>(e);
        const auto cols = static_cast<std::size_t>(graph().find(role, 0, expert)->cols);
        const double x = static_cast<double>(e) + 1;
        result.set(module(role, expert), {.sum_squares = std::vector<double>(
                                              cols, x * x * static_cast<double>(tokens[e])),
                                          .absmax = std::vector<float>(cols, static_cast<float>(x)),
                                          .tokens = tokens[e]});
      }
    }
    return result;
  }
  const std::shared_ptr<const Checkpoint> model_ =
      fixtures::open_checkpoint(fixtures::model_data("mixtral"));
};

TEST_F(CompleteExperts, LeavesThoseThatSawEnoughAsTheyAre) {
  Statistics statistics = this->statistics({64, 65, 1000, 64, 70});
  const Statistics before = statistics;
  EXPECT_EQ(complete_experts(statistics, graph(), true), "");
  for (const auto& [name, inputs] : before.modules()) {
    EXPECT_EQ(statistics.modules().at(name).sum_squares, inputs.sum_squares);
    EXPECT_EQ(statistics.modules().at(name).tokens, inputs.tokens);
  }
}

TEST_F(CompleteExperts, FillsUpWithTheMeanOfTheLayer) {
  Statistics statistics = this->statistics({100, 0, 16, 284, 0});
  EXPECT_THAT(complete_experts(statistics, graph(), true),
              HasSubstr("3 experts that saw fewer than 64 tokens"));
  const double mean = (100 * 1.0 + 16 * 9.0 + 284 * 16.0) / 400;
  for (const Role role : {Role::kGate, Role::kDown}) {
    const auto of = [&](std::int64_t expert) {
      return statistics.modules().at(module(role, expert));
    };
    for (const std::int64_t unseen : {1, 4}) {
      EXPECT_EQ(of(unseen).tokens, 64);
      EXPECT_NEAR(of(unseen).sum_squares[0], 64 * mean, 1e-9);
      EXPECT_EQ(of(unseen).absmax[0], 4);
    }
    EXPECT_EQ(of(2).tokens, 64);
    EXPECT_NEAR(of(2).sum_squares[0], 16 * 9 + 48 * mean, 1e-9);
    EXPECT_EQ(of(0).tokens, 100);
    EXPECT_EQ(of(0).sum_squares[0], 100);
  }
}

TEST_F(CompleteExperts, WhereTokensAreNotKnownFillsOnlyTheUnseen) {
  Statistics statistics = this->statistics({2, 0, 2, 2, 2});
  EXPECT_THAT(complete_experts(statistics, graph(), false),
              HasSubstr("1 experts that saw no token"));
  EXPECT_EQ(statistics.modules().at(module(Role::kUp, 0)).tokens, 2);
  EXPECT_EQ(statistics.modules().at(module(Role::kUp, 1)).tokens, 64);
}

TEST_F(CompleteExperts, ALayerThatNothingReachedStaysWithout) {
  Statistics statistics = this->statistics({0, 0, 0, 0, 0});
  EXPECT_EQ(complete_experts(statistics, graph(), true), "");
  EXPECT_TRUE(statistics.modules().empty());
}

// ---- importance matrices of models with experts ----------------------------------------------

TokenChunks some_chunks() {
  TokenChunks chunks{.chunk = 20, .tokens = {}};
  for (std::int32_t i = 0; i < 80; ++i) chunks.tokens.push_back(3 + i * 29 % 90);
  return chunks;
}

Statistics pass(const std::shared_ptr<const Checkpoint>& model) {
  ThreadPool pool(2);
  auto runtime = Runtime::load(model);
  EXPECT_TRUE(runtime.has_value());
  auto statistics = collect_statistics(**runtime, some_chunks(), pool, no_progress());
  EXPECT_TRUE(statistics.has_value());
  return std::move(statistics).value_or(Statistics());
}

TEST_F(CompleteExperts, AnImatrixHasOneEntryForAllExpertsAndACountForEach) {
  const Statistics statistics = pass(model_);
  Imatrix imatrix = imatrix_of(statistics, graph());
  imatrix.chunk_size = 20;
  const ImatrixEntry& down = imatrix.entries.at("blk.1.ffn_down_exps.weight");
  ASSERT_EQ(down.counts.size(), 5U);
  EXPECT_EQ(down.sums.size(), 5U * 40);
  EXPECT_EQ(down.counts, imatrix.entries.at("blk.1.ffn_gate_exps.weight").counts);
  std::int64_t routed = 0;
  for (const std::int64_t count : down.counts) routed += count;
  EXPECT_EQ(routed, 80 * 2);
  EXPECT_EQ(imatrix.entries.at("blk.1.ffn_gate_inp.weight").counts, std::vector<std::int64_t>{80});

  const fixtures::ScratchFolder scratch;
  for (const char* name : {"a.gguf", "a.dat"}) {
    const fs::path file = scratch.path() / name;
    ASSERT_TRUE(write_imatrix(imatrix, file).has_value());
    const auto read = read_imatrix(file);
    ASSERT_TRUE(read.has_value()) << read.error().message();
    const auto match = match_imatrix(*read, graph(), file.string());
    ASSERT_TRUE(match.has_value()) << match.error().message();
    for (const Parameter& p : graph().parameters) {
      if (!is_block_linear(p.role)) continue;
      const auto want = statistics.importance(p.module(), p.cols);
      const auto got = match->statistics.importance(p.module(), p.cols);
      ASSERT_EQ(got.size(), want.size()) << p.name;
      for (std::size_t c = 0; c < want.size(); ++c) {
        ASSERT_NEAR(got[c], want[c], 1e-5 * static_cast<double>(want[c])) << p.name;
      }
    }
  }
}

TEST_F(CompleteExperts, ADatFileShowsItsUnseenExpertsByTheirOnes) {
  Imatrix imatrix = imatrix_of(statistics({100, 0, 16, 284, 0}), graph());
  imatrix.chunk_size = 50;
  const fixtures::ScratchFolder scratch;
  ASSERT_TRUE(write_imatrix(imatrix, scratch.path() / "a.dat").has_value());
  const auto read = read_imatrix(scratch.path() / "a.dat");
  ASSERT_TRUE(read.has_value());
  const auto match = match_imatrix(*read, graph(), "a.dat");
  ASSERT_TRUE(match.has_value()) << match.error().message();
  EXPECT_TRUE(match->statistics.modules().contains(module(Role::kGate, 2)));
  EXPECT_FALSE(match->statistics.modules().contains(module(Role::kGate, 1)));
  EXPECT_FALSE(match->statistics.modules().contains(module(Role::kDown, 4)));
}

}  // namespace
}  // namespace quantlane
