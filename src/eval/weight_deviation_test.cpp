#include "eval/weight_deviation.h"

#include <cmath>

#include "model/checkpoint_fixtures.h"

namespace quantlane {
namespace {

constexpr const char* kName = "model.layers.1.mlp.up_proj.weight";

// The model with every third value of one matrix halved.
void write_changed(const fs::path& folder) {
  auto changed = fixtures::EditableCheckpoint::read(fixtures::model_data("llama"));
  auto& bytes = changed.tensor(kName).bytes;
  for (std::size_t i = 0; i < bytes.size() / 2; i += 3) {
    float value = 0;
    decode_plain(DType::kBF16, bytes.data() + 2 * i, 1, &value);
    value /= 2;
    encode_plain(DType::kBF16, &value, 1, bytes.data() + 2 * i);
  }
  changed.write(folder);
}

TEST(WeightDeviations, AreThoseOfAllValues) {
  const fixtures::ScratchFolder scratch;
  write_changed(scratch.path());
  const auto model = fixtures::open_checkpoint(fixtures::model_data("llama"));
  const auto artefact = fixtures::open_checkpoint(scratch.path());
  ASSERT_TRUE(model != nullptr && artefact != nullptr);
  const Parameter* parameter = model->graph()->find(Role::kUp, 1);
  std::vector<float> w(static_cast<std::size_t>(parameter->rows * parameter->cols));
  model->weight(*parameter)->decode_rows(0, parameter->rows, w.data());
  double error = 0;
  double norm = 0;
  std::int64_t differing = 0;
  for (std::size_t i = 0; i < w.size(); ++i) {
    const double square = static_cast<double>(w[i]) * static_cast<double>(w[i]);
    norm += square;
    if (i % 3 != 0) continue;
    error += square / 4;
    if (w[i] != 0) ++differing;
  }
  const std::vector<std::string> names = {"model.layers.0.mlp.up_proj.weight", kName};
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    const auto rows = measure_deviations(*model, *artefact, names, pool, no_progress());
    ASSERT_TRUE(rows.has_value()) << rows.error().message();
    ASSERT_EQ(rows->size(), 2U);
    EXPECT_EQ((*rows)[0].relative_rmse(), 0);
    EXPECT_EQ((*rows)[0].differing, 0);
    const WeightDeviation& row = (*rows)[1];
    EXPECT_EQ(row.tensor, kName);
    EXPECT_EQ(row.from, "bf16");
    EXPECT_EQ(row.differing, differing);
    EXPECT_EQ(row.values, static_cast<std::int64_t>(w.size()));
    EXPECT_NEAR(row.relative_rmse(), std::sqrt(error / norm), 1e-12);
  }
}

TEST(WeightDeviations, NeedTheSameMatrices) {
  const auto model = fixtures::open_checkpoint(fixtures::model_data("llama"));
  const auto other = fixtures::open_checkpoint(QUANTLANE_SOURCE_DIR "/models/canary");
  ASSERT_TRUE(model != nullptr && other != nullptr);
  const std::vector<std::string> names = {kName};
  ThreadPool pool(1);
  const auto rows = measure_deviations(*model, *other, names, pool, no_progress());
  ASSERT_FALSE(rows.has_value());
  EXPECT_EQ(rows.error().code, ErrorCode::kCorrupt);
  EXPECT_EQ(rows.error().tensor, kName);
}

}  // namespace
}  // namespace quantlane
