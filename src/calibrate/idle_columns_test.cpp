#include "calibrate/idle_columns.h"

#include <gmock/gmock.h>

#include "model/checkpoint_fixtures.h"

namespace quantlane {
namespace {

using testing::HasSubstr;

// The inputs of every Linear, ones but for `zeros` of its first columns in matrices named so.
Statistics inputs_of(const Graph& graph, std::string_view named, std::size_t zeros) {
  Statistics statistics;
  for (const Parameter& p : graph.parameters) {
    if (!is_linear(p.role)) continue;
    InputStatistics inputs{.sum_squares = std::vector<double>(static_cast<std::size_t>(p.cols), 1),
                           .absmax = std::vector<float>(static_cast<std::size_t>(p.cols), 1),
                           .tokens = 7};
    if (p.name.find(named) != std::string::npos) {
      for (std::size_t c = 0; c < zeros; ++c) inputs.sum_squares[c] = 0;
    }
    statistics.set(std::string(p.module()), std::move(inputs));
  }
  return statistics;
}

TEST(IdleColumns, AreCountedOverMatricesWithTheFirstTensorsName) {
  const auto model = fixtures::open_checkpoint(fixtures::model_data("llama"));
  ASSERT_NE(model, nullptr);
  const Graph& graph = *model->graph();
  const DeadChannels found = idle_columns(inputs_of(graph, "down_proj", 3), graph);
  EXPECT_EQ(found.matrices, graph.config.layer_count);
  EXPECT_EQ(found.count, 3 * graph.config.layer_count);
  EXPECT_EQ(found.first, "model.layers.0.mlp.down_proj.weight");
  EXPECT_THAT(idle_columns_notice(found), HasSubstr("model.layers.0.mlp.down_proj.weight"));
}

TEST(IdleColumns, NoneAreSaidWhereAllInputsMove) {
  const auto model = fixtures::open_checkpoint(fixtures::model_data("llama"));
  ASSERT_NE(model, nullptr);
  const Graph& graph = *model->graph();
  const DeadChannels found = idle_columns(inputs_of(graph, "", 0), graph);
  EXPECT_FALSE(found.any());
  EXPECT_EQ(idle_columns_notice(found), "");
  EXPECT_FALSE(idle_columns({}, graph).any()) << "not seen is not idle";
}

}  // namespace
}  // namespace quantlane
