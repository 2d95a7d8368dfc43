#include "eval/layer_errors.h"

#include <cmath>
#include <map>

#include "model/checkpoint_fixtures.h"
#include "model/model_rotations.h"

namespace quantlane {
namespace {

TEST(LayerErrors, AreZeroAgainstItself) {
  const auto model = fixtures::open_checkpoint(fixtures::model_data("llama"));
  ThreadPool pool(2);
  const auto errors = measure_layer_errors(*model, *model, nullptr, 1000, pool);
  ASSERT_TRUE(errors.has_value());
  EXPECT_EQ(errors->size(), 2U * 7 + 1);
  for (const LayerError& error : *errors) EXPECT_EQ(error.relative_rmse, 0) << error.role;
}

TEST(LayerErrors, AreWeightedByTheInputs) {
  const fixtures::ScratchFolder scratch;
  const auto model = fixtures::open_checkpoint(fixtures::model_data("llama"));
  auto changed = fixtures::EditableCheckpoint::read(fixtures::model_data("llama"));
  const std::string module = "model.layers.1.mlp.up_proj";
  // Column 0 of every row becomes zero.
  auto& tensor = changed.tensor(module + ".weight");
  for (std::size_t i = 0; i < tensor.bytes.size(); i += 48 * 2) {
    tensor.bytes[i] = std::byte{0};
    tensor.bytes[i + 1] = std::byte{0};
  }
  changed.write(scratch.path());
  const auto artefact = fixtures::open_checkpoint(scratch.path());
  ASSERT_NE(artefact, nullptr);
  std::vector<float> x(48, 1.0F);
  x[0] = 3;
  Statistics statistics;
  statistics.add(module, x.data(), 1, 48);

  const Parameter* parameter = model->graph()->find(Role::kUp, 1);
  ASSERT_EQ(parameter->cols, 48);
  std::vector<float> w(static_cast<std::size_t>(parameter->rows * 48));
  model->weight(*parameter)->decode_rows(0, parameter->rows, w.data());
  std::map<bool, double> want;
  for (const bool weighted : {false, true}) {
    double error = 0;
    double norm = 0;
    for (std::size_t i = 0; i < w.size(); ++i) {
      const double h = weighted && i % 48 == 0 ? 9 : 1;
      const double square = static_cast<double>(w[i]) * static_cast<double>(w[i]);
      norm += h * square;
      if (i % 48 == 0) error += h * square;
    }
    want[weighted] = std::sqrt(error / norm);
  }
  ThreadPool pool(1);
  for (const bool weighted : {false, true}) {
    const auto errors =
        measure_layer_errors(*model, *artefact, weighted ? &statistics : nullptr, 1000, pool);
    ASSERT_TRUE(errors.has_value());
    for (const LayerError& error : *errors) {
      const bool changed_one = error.layer == 1 && error.role == "up";
      EXPECT_NEAR(error.relative_rmse, changed_one ? want[weighted] : 0, 1e-9) << error.role;
      EXPECT_EQ(error.format, "bf16");
    }
  }
}

TEST(LayerErrors, AreNoneWhereMatricesAreScaledOrRotatedOnes) {
  const auto model = fixtures::open_checkpoint(fixtures::model_data("llama"));
  ThreadPool pool(1);
  const auto errors_of = [&](WeightEdits edits) {
    const auto edited = model->with_edits(std::move(edits));
    EXPECT_TRUE(edited.has_value());
    return measure_layer_errors(*model, **edited, nullptr, 1000, pool).value();
  };
  // One gain doubled, and one a little off: a rounding.
  const auto ones = [](float first) {
    std::vector<float> gains(48, 1.0F);
    gains[0] = first;
    return gains;
  };
  const std::string norm = "model.layers.1.input_layernorm.weight";
  EXPECT_TRUE(errors_of({{norm, {.column_factors = ones(2)}}}).empty());
  EXPECT_FALSE(errors_of({{norm, {.column_factors = ones(1.001F)}}}).empty());
  WeightEdits rotated;
  const auto& config = model->graph()->config;
  add_value_rotation(*model->graph(), std::make_shared<const Rotation>(config.head_dim, 1),
                     rotated);
  EXPECT_TRUE(errors_of(std::move(rotated)).empty());
}

}  // namespace
}  // namespace quantlane
