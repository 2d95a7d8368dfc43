#include "quantize/gguf/layer_losses.h"

#include <cmath>

#include <gtest/gtest.h>

namespace quantlane {
namespace {

TEST(LayerLosses, AreMeasuredAtBothEndsAndEvenlyBetween) {
  for (const std::int64_t layers : {1, 2, 15, 16, 17, 30, 32, 80, 126}) {
    std::int64_t measured = 0;
    std::int64_t last = 0;
    for (std::int64_t layer = 0; layer < layers; ++layer) {
      if (!is_measured_layer(layer, layers)) continue;
      ++measured;
      EXPECT_LE(layer - last, (layers + 14) / 15) << layers;
      last = layer;
    }
    EXPECT_EQ(measured, std::min<std::int64_t>(layers, 16));
    EXPECT_TRUE(is_measured_layer(0, layers));
    EXPECT_EQ(last, layers - 1);
  }
}

TEST(LayerLosses, MissingOnesLieBetweenTheirNeighboursAtEqualRatios) {
  const auto filled = fill_between({8.0, {}, {}, 1.0, 1.0, {}, 4.0});
  const std::vector<double> expected = {8, 4, 2, 1, 1, 2, 4};
  ASSERT_EQ(filled.size(), expected.size());
  for (std::size_t i = 0; i < filled.size(); ++i) EXPECT_NEAR(filled[i], expected[i], 1e-12) << i;
}

TEST(LayerLosses, ALayerWithoutLossHasNone) {
  const auto filled = fill_between({1.0, {}, 0.0});
  EXPECT_GE(filled[1], 0);
  EXPECT_LT(filled[1], 1e-100);
  EXPECT_EQ(filled[2], 0);
}

}  // namespace
}  // namespace quantlane
