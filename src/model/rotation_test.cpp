#include "model/rotation.h"

#include <cmath>

#include <gtest/gtest.h>

#include "core/rng.h"
#include "model/checkpoint_fixtures.h"
#include "model/model_rotations.h"
#include "model/row_blocks.h"

namespace quantlane {
namespace {

// The matrix, row by row: what it makes of unit vectors.
std::vector<float> matrix_of(const Rotation& rotation) {
  const auto size = static_cast<std::size_t>(rotation.size());
  std::vector<float> matrix(size * size);
  for (std::size_t i = 0; i < size; ++i) matrix[i * size + i] = 1;
  rotation.turn(matrix.data(), rotation.size());
  return matrix;
}

TEST(Rotation, IsOrthogonalAndSpreadsEveryElementAtAnySize) {
  // Powers of two, odd, both: head widths and streams of real models among them.
  for (const std::int64_t size : {1, 2, 5, 12, 16, 64, 80, 96, 128, 576, 896}) {
    const Rotation rotation(size, 7);
    const std::vector<float> q = matrix_of(rotation);
    const auto n = static_cast<std::size_t>(size);
    for (std::size_t a = 0; a < n; ++a) {
      for (std::size_t b = a; b < n; b += 1 + b % 5) {
        double product = 0;
        for (std::size_t i = 0; i < n; ++i)
          product += static_cast<double>(q[a * n + i]) * static_cast<double>(q[b * n + i]);
        ASSERT_NEAR(product, a == b ? 1 : 0, 2e-6) << size << " " << a << " " << b;
      }
    }
    for (const float value : q)
      ASSERT_LE(std::abs(value), std::sqrt(2 / static_cast<float>(size)) * 1.00001F) << size;
  }
}

TEST(Rotation, IsSylvestersMatrixUnderTheSigns) {
  const Rotation rotation(4, 3);
  const std::vector<float> q = matrix_of(rotation);
  const float want[4][4] = {{1, 1, 1, 1}, {1, -1, 1, -1}, {1, 1, -1, -1}, {1, -1, -1, 1}};
  for (std::size_t r = 0; r < 4; ++r) {
    for (std::size_t c = 0; c < 4; ++c)
      EXPECT_FLOAT_EQ(q[4 * r + c], rotation.signs()[r] * want[r][c] / 2);
  }
}

TEST(Rotation, LeavesOddFactorsThatAreTooLargeUnmixed) {
  const std::int64_t size = 2 * (Rotation::kLargestOdd + 7);
  const Rotation rotation(size, 1);
  std::vector<float> x(static_cast<std::size_t>(size));
  x[4] = 1;
  rotation.turn(x.data());
  for (std::size_t i = 0; i < x.size(); ++i)
    EXPECT_NEAR(std::abs(x[i]), i == 4 || i == 5 ? std::sqrt(0.5) : 0, 1e-6) << i;
}

TEST(Rotation, TurnsColumnsAsItTurnsVectors) {
  Rng rng(4);
  for (const std::int64_t size : {12, 32}) {
    for (const std::int64_t cols : {1, 7, 64, 131}) {
      const Rotation rotation(size, 9);
      std::vector<float> x(static_cast<std::size_t>(size * cols));
      for (float& value : x) value = static_cast<float>(rng.normal());
      std::vector<float> turned = x;
      rotation.turn_columns(turned.data(), cols);
      for (std::int64_t c = 0; c < cols; ++c) {
        std::vector<float> column;
        for (std::int64_t r = 0; r < size; ++r)
          column.push_back(x[static_cast<std::size_t>(r * cols + c)]);
        rotation.turn(column.data());
        for (std::int64_t r = 0; r < size; ++r)
          ASSERT_NEAR(turned[static_cast<std::size_t>(r * cols + c)],
                      column[static_cast<std::size_t>(r)], 1e-5);
      }
    }
  }
}

std::vector<float> decoded(const Checkpoint& checkpoint, const Parameter& p, std::int64_t piece) {
  const auto weight = checkpoint.weight(p);
  EXPECT_TRUE(weight.has_value());
  std::vector<float> values(static_cast<std::size_t>(p.rows * p.cols));
  for (std::int64_t r = 0; r < p.rows; r += piece)
    weight->decode_rows(r, std::min(piece, p.rows - r), values.data() + r * p.cols);
  return values;
}

TEST(WeightEdit, RotatesAfterScalingWhateverThePiecesThatAreRead) {
  const auto source = fixtures::open_checkpoint(fixtures::model_data("llama"));
  const Parameter& p = *source->graph()->find(Role::kValue, 1);
  const auto rows = std::make_shared<const Rotation>(source->graph()->config.head_dim, 1);
  const auto columns = std::make_shared<const Rotation>(p.cols, 2);
  WeightEdit edit;
  edit.column_factors.assign(static_cast<std::size_t>(p.cols), 1.0F);
  edit.column_factors[3] = 4;
  edit.row_rotation = rows;
  edit.column_rotation = columns;
  WeightEdit after;  // a scaling of what has been rotated
  after.row_factors.assign(static_cast<std::size_t>(p.rows), 1.0F);
  after.row_factors[5] = 0.5F;
  const auto edited = source->with_edits({{p.name, edit}}).value()->with_edits({{p.name, after}});
  ASSERT_TRUE(edited.has_value());
  std::vector<float> want = decoded(*source, p, p.rows);
  for (std::int64_t r = 0; r < p.rows; ++r) want[static_cast<std::size_t>(r * p.cols + 3)] *= 4;
  columns->turn(want.data(), p.rows);
  for (std::int64_t r = 0; r < p.rows; r += rows->size())
    rows->turn_columns(want.data() + r * p.cols, p.cols);
  for (std::int64_t c = 0; c < p.cols; ++c) want[static_cast<std::size_t>(5 * p.cols + c)] *= 0.5F;
  for (const std::int64_t piece : {std::int64_t{1}, std::int64_t{5}, p.rows}) {
    EXPECT_EQ(decoded(**edited, p, piece), want) << piece;
  }
}

TEST(WeightEdit, RefusesRotationsThatDoNotDivideTheSides) {
  const auto source = fixtures::open_checkpoint(fixtures::model_data("llama"));
  const Parameter& p = *source->graph()->find(Role::kValue, 0);
  WeightEdit edit;
  edit.row_rotation = std::make_shared<const Rotation>(p.rows - 1, 1);
  EXPECT_FALSE(source->with_edits({{p.name, edit}}).has_value());
  edit.row_rotation = nullptr;
  edit.column_rotation = std::make_shared<const Rotation>(2 * p.cols, 1);
  EXPECT_FALSE(source->with_edits({{p.name, edit}}).has_value());
}

TEST(WeightEdit, RotationsChangeTheContentHash) {
  const auto source = fixtures::open_checkpoint(fixtures::model_data("llama"));
  const Parameter& p = *source->graph()->find(Role::kValue, 0);
  const auto hash = [&](std::uint64_t rows, std::uint64_t columns) {
    WeightEdit edit;
    if (rows > 0) edit.row_rotation = std::make_shared<const Rotation>(p.rows, rows);
    if (columns > 0) edit.column_rotation = std::make_shared<const Rotation>(p.cols, columns);
    return source->with_edits({{p.name, edit}}).value()->content_hash().value();
  };
  EXPECT_EQ(hash(1, 0), hash(1, 0));
  EXPECT_NE(hash(1, 0), hash(2, 0));
  EXPECT_NE(hash(1, 0), hash(1, 1));
  EXPECT_NE(hash(0, 1), hash(0, 0));
}

TEST(RowBlocks, MakeABlockOnceAndForgetTheOldestOnesAboveTheirBytes) {
  RowBlocks blocks(2 * 100 * sizeof(float));
  int made = 0;
  const int edit = 0;
  const auto get = [&](std::int64_t index) {
    return blocks.get(&edit, index, [&] {
      ++made;
      return std::vector<float>(100, static_cast<float>(index));
    });
  };
  get(0);
  get(1);
  EXPECT_EQ(get(0)->front(), 0);
  EXPECT_EQ(made, 2);
  get(2);  // 1 has not been asked for the longest time
  EXPECT_EQ(get(0)->front(), 0);
  EXPECT_EQ(made, 3);
  EXPECT_EQ(get(1)->front(), 1);
  EXPECT_EQ(made, 4);
}

}  // namespace
}  // namespace quantlane
