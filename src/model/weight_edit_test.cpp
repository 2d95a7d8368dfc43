#include "model/weight_edit.h"

#include <gmock/gmock.h>

#include "core/rng.h"
#include "model/checkpoint_fixtures.h"

namespace quantlane {
namespace {

using ::testing::HasSubstr;

std::vector<float> random_values(std::int64_t count, Rng& rng) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = static_cast<float>(0.5 + rng.uniform());
  return values;
}

std::vector<float> halves_of(const Checkpoint& checkpoint, const Parameter& p) {
  const auto weight = checkpoint.weight(p);
  EXPECT_TRUE(weight.has_value()) << weight.error().message();
  std::vector<float> values(static_cast<std::size_t>(p.rows * p.cols));
  // In two pieces: edits know which rows they get.
  const std::int64_t half = p.rows / 2;
  weight->decode_rows(0, half, values.data());
  weight->decode_rows(half, p.rows - half, values.data() + half * p.cols);
  return values;
}

WeightEdit random_edit(const Parameter& p, Rng& rng) {
  auto delta = std::make_shared<LowRankDelta>();
  *delta = {.rank = 3,
            .a = random_values(3 * p.cols, rng),
            .b = random_values(p.rows * 3, rng),
            .scale = 0.25F};
  return {.values = {},
          .delta = std::move(delta),
          .row_factors = random_values(p.rows, rng),
          .column_factors = random_values(p.cols, rng)};
}

double expected(const WeightEdit& edit, const Parameter& p, std::size_t i, double value) {
  const auto cols = static_cast<std::size_t>(p.cols);
  const std::size_t r = i / cols;
  const std::size_t c = i % cols;
  double delta = 0;
  for (std::size_t k = 0; k < 3; ++k)
    delta += static_cast<double>(edit.delta->b[r * 3 + k]) * edit.delta->a[k * cols + c];
  return edit.row_factors[r] * (value + edit.delta->scale * delta) * edit.column_factors[c];
}

TEST(WeightEdit, GivesFactorsTimesTheSumOfMatrixAndDeltaInOrderOfTheEdits) {
  Rng rng(3);
  for (const char* family : fixtures::kFamilies) {
    const auto folder = fixtures::open_checkpoint(fixtures::model_data(family));
    const fixtures::ScratchFolder scratch;
    fixtures::write_gguf(*folder, scratch.path() / "model.gguf");
    // GGUF keeps q and k permuted; edits are of the logical rows.
    const auto gguf = fixtures::open_checkpoint(scratch.path() / "model.gguf");
    for (const auto& source : {folder, gguf}) {
      const Parameter& p = *source->graph()->find(Role::kQuery, 0);
      const WeightEdit first = random_edit(p, rng);
      const WeightEdit second = random_edit(p, rng);
      const auto once = source->with_edits({{p.name, first}});
      ASSERT_TRUE(once.has_value()) << once.error().message();
      const auto twice = (*once)->with_edits({{p.name, second}});
      ASSERT_TRUE(twice.has_value());
      const auto plain = halves_of(*source, p);
      const auto got_once = halves_of(**once, p);
      const auto got_twice = halves_of(**twice, p);
      for (std::size_t i = 0; i < plain.size(); ++i) {
        const double want = expected(first, p, i, plain[i]);
        ASSERT_NEAR(got_once[i], want, 1e-5) << family << " " << i;
        ASSERT_NEAR(got_twice[i], expected(second, p, i, want), 1e-5) << family << " " << i;
      }
    }
  }
}

TEST(WeightEdit, ScalesNormsAsTheyAreApplied) {
  for (const char* family : {"llama", "gemma3"}) {
    const auto source = fixtures::open_checkpoint(fixtures::model_data(family));
    const double offset = source->graph()->config.norm_plus_one ? 1 : 0;
    const Parameter& p = *source->graph()->find(Role::kAttentionNorm, 1);
    WeightEdit edit;
    edit.column_factors.assign(static_cast<std::size_t>(p.cols), 4.0F);
    const auto edited = source->with_edits({{p.name, edit}}).value();
    const auto plain = halves_of(*source, p);
    const auto got = halves_of(*edited, p);
    for (std::size_t i = 0; i < plain.size(); ++i)
      EXPECT_NEAR(got[i], 4 * (plain[i] + offset) - offset, 1e-5) << family;
  }
}

TEST(WeightEdit, ReplacesValues) {
  const auto source = fixtures::open_checkpoint(fixtures::model_data("llama"));
  const Parameter& p = *source->graph()->find(Role::kEmbedding, -1);
  Rng rng(5);
  const auto values =
      std::make_shared<const std::vector<float>>(random_values(p.rows * p.cols, rng));
  WeightEdit edit;
  edit.values = values;
  EXPECT_EQ(halves_of(*source->with_edits({{p.name, edit}}).value(), p), *values);
}

TEST(WeightEdit, ClosesTheDirectWaysToWhatIsStored) {
  const auto source = fixtures::open_checkpoint(fixtures::model_data("llama"));
  const Parameter& p = *source->graph()->find(Role::kUp, 0);
  const Parameter& other = *source->graph()->find(Role::kUp, 1);
  WeightEdit edit;
  edit.row_factors.assign(static_cast<std::size_t>(p.rows), 2.0F);
  const auto edited = source->with_edits({{p.name, edit}}).value();
  EXPECT_NE(source->weight(p)->bf16_rows(), nullptr);
  EXPECT_EQ(edited->weight(p)->bf16_rows(), nullptr);
  EXPECT_NE(edited->weight(other)->bf16_rows(), nullptr);
  EXPECT_TRUE(edited->edited(p));
  EXPECT_FALSE(edited->edited(other));
  EXPECT_FALSE(source->edited(p));
}

TEST(WeightEdit, ChangesTheContentHash) {
  const auto source = fixtures::open_checkpoint(fixtures::model_data("llama"));
  const Parameter& p = *source->graph()->find(Role::kUp, 0);
  WeightEdit edit;
  edit.row_factors.assign(static_cast<std::size_t>(p.rows), 2.0F);
  const std::string one = source->with_edits({{p.name, edit}}).value()->content_hash().value();
  EXPECT_NE(one, source->content_hash().value());
  EXPECT_EQ(one, source->with_edits({{p.name, edit}}).value()->content_hash().value());
  edit.row_factors.back() = 2.5F;
  EXPECT_NE(one, source->with_edits({{p.name, edit}}).value()->content_hash().value());
  EXPECT_EQ(source->with_edits({}).value()->content_hash().value(), source->content_hash().value());
}

TEST(WeightEdit, RefusesOtherNamesSizesAndNumbers) {
  const auto source = fixtures::open_checkpoint(fixtures::model_data("llama"));
  const Parameter& p = *source->graph()->find(Role::kUp, 0);
  const auto message = [&](const std::string& name, const WeightEdit& edit) {
    const auto result = source->with_edits({{name, edit}});
    EXPECT_FALSE(result.has_value());
    return result ? std::string() : result.error().message();
  };
  WeightEdit edit;
  EXPECT_THAT(message("model.layers.9.mlp.up_proj.weight", edit), HasSubstr("no such parameter"));
  edit.row_factors.assign(static_cast<std::size_t>(p.rows) + 1, 1.0F);
  EXPECT_THAT(message(p.name, edit), HasSubstr("up_proj"));
  edit.row_factors.assign(static_cast<std::size_t>(p.rows), std::nanf(""));
  EXPECT_THAT(message(p.name, edit), HasSubstr("finite"));
  edit.row_factors.clear();
  auto delta = std::make_shared<LowRankDelta>();
  *delta = {.rank = 2, .a = std::vector<float>(2), .b = std::vector<float>(2), .scale = 1};
  edit.delta = delta;
  EXPECT_THAT(message(p.name, edit), HasSubstr(p.name));
}

}  // namespace
}  // namespace quantlane
