#include "eval/lost_edits.h"

#include <cmath>
#include <random>

#include "model/checkpoint_fixtures.h"

namespace quantlane {
namespace {

using SharedCheckpoint = std::shared_ptr<const Checkpoint>;

const Parameter& edited_matrix(const Checkpoint& model) {
  return *model.graph()->find(Role::kUp, 1);
}

std::vector<float> values_of(const Checkpoint& model, const Parameter& parameter) {
  std::vector<float> values(static_cast<std::size_t>(parameter.rows * parameter.cols));
  model.weight(parameter)->decode_rows(0, parameter.rows, values.data());
  return values;
}

// A change of one direction, of `size` times the norm of the matrix.
SharedCheckpoint with_adapter(const SharedCheckpoint& base, float size) {
  const Parameter& parameter = edited_matrix(*base);
  double square = 0;
  for (const float value : values_of(*base, parameter)) square += std::pow(value, 2);
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  auto delta = std::make_shared<LowRankDelta>();
  delta->rank = 1;
  for (std::int64_t c = 0; c < parameter.cols; ++c) delta->a.push_back(normal(random));
  for (std::int64_t r = 0; r < parameter.rows; ++r) delta->b.push_back(normal(random));
  delta->scale =
      size *
      static_cast<float>(std::sqrt(square / static_cast<double>(parameter.rows * parameter.cols)));
  WeightEdits edits;
  edits[parameter.name].delta = std::move(delta);
  return base->with_edits(std::move(edits)).value();
}

// What rounding to steps of `step` times the root mean square makes of the edited matrix, under
// factors of rows and columns.
SharedCheckpoint artefact_of(const SharedCheckpoint& model, const SharedCheckpoint& base,
                             float step) {
  const Parameter& parameter = edited_matrix(*base);
  auto values = std::make_shared<std::vector<float>>(values_of(*model, parameter));
  double square = 0;
  for (const float value : *values) square += std::pow(value, 2);
  const float unit =
      step * static_cast<float>(std::sqrt(square / static_cast<double>(values->size())));
  for (float& value : *values) value = std::round(value / unit) * unit;
  WeightEdit edit{.values = values};
  for (std::int64_t r = 0; r < parameter.rows; ++r)
    edit.row_factors.push_back(r % 2 == 0 ? 1.0F : 3.0F);
  for (std::int64_t c = 0; c < parameter.cols; ++c)
    edit.column_factors.push_back(c % 3 == 0 ? 0.25F : 2.0F);
  WeightEdits edits;
  edits[parameter.name] = std::move(edit);
  return base->with_edits(std::move(edits)).value();
}

class LostEdits : public testing::Test {
 protected:
  SharedCheckpoint base_ = fixtures::open_checkpoint(fixtures::model_data("llama"));
};

TEST_F(LostEdits, AreFoundThroughRoundingAndFactors) {
  const SharedCheckpoint edited = with_adapter(base_, 0.3F);
  for (const float step : {0.01F, 0.3F}) {
    const auto with = artefact_made_from(*artefact_of(edited, base_, step), *edited, *base_);
    ASSERT_TRUE(with.has_value());
    EXPECT_EQ(*with, MadeFrom::kEdited) << step;
    const auto without = artefact_made_from(*artefact_of(base_, base_, step), *edited, *base_);
    ASSERT_TRUE(without.has_value());
    EXPECT_EQ(*without, MadeFrom::kBase) << step;
  }
}

TEST_F(LostEdits, AreUnclearWhereRoundingIsMuchLarger) {
  const SharedCheckpoint edited = with_adapter(base_, 0.003F);
  EXPECT_EQ(artefact_made_from(*artefact_of(base_, base_, 1.0F), *edited, *base_).value(),
            MadeFrom::kUnclear);
}

TEST_F(LostEdits, AreUnclearWhereNothingIsEdited) {
  EXPECT_EQ(artefact_made_from(*artefact_of(base_, base_, 0.1F), *base_, *base_).value(),
            MadeFrom::kUnclear);
}

// Rows in another order stand for rotated ones: neither model explains them.
TEST_F(LostEdits, AreUnclearInTurnedWeights) {
  const SharedCheckpoint edited = with_adapter(base_, 0.3F);
  const Parameter& parameter = edited_matrix(*base_);
  auto values = std::make_shared<std::vector<float>>(values_of(*base_, parameter));
  std::ranges::reverse(*values);
  WeightEdits edits;
  edits[parameter.name].values = values;
  const SharedCheckpoint turned = base_->with_edits(std::move(edits)).value();
  EXPECT_EQ(artefact_made_from(*turned, *edited, *base_).value(), MadeFrom::kUnclear);
}

}  // namespace
}  // namespace quantlane
