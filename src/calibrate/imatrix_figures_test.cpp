#include "calibrate/imatrix_figures.h"

#include <cmath>

#include <gtest/gtest.h>

#include "core/rng.h"

namespace quantlane {
namespace {

const ImatrixTensor* find(const std::vector<ImatrixTensor>& rows, const std::string& name) {
  for (const ImatrixTensor& row : rows) {
    if (row.name == name) return &row;
  }
  return nullptr;
}

// As llama-imatrix --show-statistics (0c1e57098) prints the committed matrix.
TEST(ImatrixFigures, AreThoseOfLlamaImatrix) {
  struct Golden {
    const char* name;
    double sum, min, max, mean, sigma, entropy, outliers, cosine;
  };
  constexpr Golden kGolden[] = {
      {"blk.0.attn_k.weight", 265.80, 0.3150, 25.4820, 1.04, 2.43, 7.0258, 1.56, 0},
      {"blk.1.attn_q.weight", 255.91, 0.4122, 7.3222, 1.00, 0.69, 7.8150, 1.95, 0.7912},
      {"blk.1.attn_output.weight", 38.20, 0.0333, 0.5138, 0.15, 0.09, 7.7819, 12.11, 0.8032},
      {"blk.0.attn_output.weight", 5.09, 0.0088, 0.0643, 0.02, 0.01, 7.8940, 13.67, 0},
      {"blk.1.ffn_down.weight", 17.55, 0.0047, 0.4114, 0.03, 0.03, 8.5419, 8.98, 0.4883},
      {"blk.1.ffn_up.weight", 259.54, 0.2376, 4.4943, 1.01, 0.56, 7.8169, 11.72, 0.6788}};
  const auto imatrix =
      read_imatrix(QUANTLANE_SOURCE_DIR "/tests/data/containers/gguf/imatrix.gguf");
  ASSERT_TRUE(imatrix.has_value());
  const auto rows = imatrix_figures(*imatrix);
  EXPECT_EQ(rows.size(), 14U);
  for (const Golden& want : kGolden) {
    const ImatrixTensor* got = find(rows, want.name);
    ASSERT_NE(got, nullptr) << want.name;
    EXPECT_NEAR(got->sum, want.sum, 0.0051);
    EXPECT_NEAR(got->min, want.min, 0.000051);
    EXPECT_NEAR(got->max, want.max, 0.000051);
    EXPECT_NEAR(got->mean, want.mean, 0.0051);
    EXPECT_NEAR(got->sigma, want.sigma, 0.0051);
    EXPECT_NEAR(got->entropy, want.entropy, 0.000051);
    EXPECT_NEAR(100 * got->outliers, want.outliers, 0.0051);
    EXPECT_NEAR(got->cosine.value_or(0), want.cosine, 0.000051);
    EXPECT_DOUBLE_EQ(got->active, 1);
    EXPECT_EQ(got->tokens, 3072);
    EXPECT_EQ(got->zeros, 0);
  }
}

TEST(ImatrixFigures, OfSmallMatricesByHand) {
  Imatrix imatrix;
  imatrix.entries["blk.10.ffn_up.weight"] = {.sums = {0, 2, 4, 10}, .counts = {2}};
  imatrix.entries["blk.9.ffn_up.weight"] = {.sums = {1, 1, 1, 1}, .counts = {1}};
  // The second of three experts was never reached.
  imatrix.entries["blk.9.ffn_up_exps.weight"] = {.sums = {1, 3, 5, 5, 4, 0}, .counts = {1, 0, 2}};
  imatrix.entries["output.weight"] = {.sums = {1, 1}, .counts = {1}};
  imatrix.entries["unseen.weight"] = {.sums = {1, 1}, .counts = {0}};
  imatrix.entries["blk.x.odd"] = {.sums = {0}, .counts = {1}};
  const auto rows = imatrix_figures(imatrix);
  ASSERT_EQ(rows.size(), 5U);
  EXPECT_EQ(find(rows, "unseen.weight"), nullptr);
  const ImatrixTensor& up = *find(rows, "blk.10.ffn_up.weight");
  EXPECT_EQ(up.tensor, "ffn_up");
  EXPECT_EQ(up.layer, 10);
  EXPECT_EQ(up.columns, 4);
  EXPECT_DOUBLE_EQ(up.sum, 8);
  EXPECT_DOUBLE_EQ(up.mean, 2);
  EXPECT_DOUBLE_EQ(up.sigma, std::sqrt(3.5));
  EXPECT_DOUBLE_EQ(up.active, 0.75);
  EXPECT_EQ(up.zeros, 1);
  EXPECT_DOUBLE_EQ(up.outliers, 0.25);
  EXPECT_DOUBLE_EQ(*up.cosine, 16 / (std::sqrt(120.0) * 2));
  EXPECT_NEAR(up.entropy, 0.125 * 3 + 0.25 * 2 - 0.625 * std::log2(0.625), 1e-12);
  const ImatrixTensor& experts = *find(rows, "blk.9.ffn_up_exps.weight");
  EXPECT_EQ(experts.columns, 4);
  EXPECT_DOUBLE_EQ(experts.sum, 6);
  EXPECT_FALSE(experts.cosine.has_value());
  const ImatrixTensor& output = *find(rows, "output.weight");
  EXPECT_EQ(output.layer, -1);
  EXPECT_EQ(output.tensor, "output");
  EXPECT_DOUBLE_EQ(output.sigma, 0);
  const ImatrixTensor& odd = *find(rows, "blk.x.odd");
  EXPECT_EQ(odd.layer, -1);
  EXPECT_EQ(odd.tensor, "blk.x.odd");
  EXPECT_DOUBLE_EQ(odd.entropy, 0);
  // By tensor, then by the layer's number.
  EXPECT_EQ(rows[1].name, "blk.9.ffn_up.weight");
  EXPECT_EQ(rows[2].name, "blk.10.ffn_up.weight");
}

}  // namespace
}  // namespace quantlane
