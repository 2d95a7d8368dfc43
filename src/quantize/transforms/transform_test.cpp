// Transforms leave the model's function as it is and make rounding cheaper.
#include "quantize/transforms/transform.h"

#include <cmath>
#include <set>
#include <string_view>

#include "calibrate/collect.h"
#include "core/rng.h"
#include "model/input_scaling.h"
#include "quantize/lanes/lane_needs.h"
#include "quantize/transforms/apply_transforms.h"
#include "quantize/transforms/scale_problem.h"
#include "runtime/runtime_fixtures.h"

namespace quantlane {
namespace {

using fixtures::kCanary;
constexpr std::uint64_t kBudget = std::uint64_t{1} << 28;

TokenChunks random_chunks(std::int64_t vocab, std::int64_t chunks, std::int64_t chunk) {
  Rng rng(21);
  TokenChunks made{.chunk = chunk, .tokens = {}};
  for (std::int64_t i = 0; i < chunks * chunk; ++i)
    made.tokens.push_back(static_cast<std::int32_t>(rng.below(static_cast<std::uint64_t>(vocab))));
  return made;
}

std::vector<float> logits(const std::shared_ptr<const Checkpoint>& checkpoint) {
  const std::vector<std::int32_t> ids = {1, 5, 9, 2, 30, 7, 8, 11, 3, 4, 60, 61};
  auto runtime = Runtime::load(checkpoint);
  EXPECT_TRUE(runtime.has_value());
  return fixtures::logits_of(**runtime, ids);
}

std::vector<float> random_factors(std::int64_t size, Rng& rng) {
  std::vector<float> factors(static_cast<std::size_t>(size));
  for (float& factor : factors) factor = static_cast<float>(std::exp2(4 * rng.uniform() - 2));
  return factors;
}

double squared_difference(const std::vector<float>& a, const std::vector<float>& b) {
  double total = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    total += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
  return total;
}

Result<TransformedModel> transformed(const std::shared_ptr<const Checkpoint>& source,
                                     const Lane& lane, const TokenChunks& chunks, int threads = 2) {
  ThreadPool pool(threads);
  return apply_transforms({.source = *source, .lane = lane}, source, chunks, kBudget, pool,
                          no_progress());
}

TEST(InputScaling, LeavesTheLogitsOfEveryFamilyAsTheyAre) {
  Rng rng(2);
  for (const char* family : fixtures::kFamilies) {
    const auto source = fixtures::open_checkpoint(fixtures::model_data(family));
    const std::vector<float> want = logits(source);
    const Graph& graph = *source->graph();
    for (std::int64_t layer = 0; layer < graph.config.layer_count; ++layer) {
      const auto inputs = scalable_inputs(graph, layer);
      // The router of a layer of experts leaves no freedom behind its norm.
      const bool experts = graph.find(Role::kRouter, layer) != nullptr;
      ASSERT_EQ(inputs.size(), experts ? 2U : 4U) << family;
      for (const ScalableInput& input : inputs) {
        WeightEdits edits;
        add_scaling(input, random_factors(input.source_size(), rng), edits);
        const auto edited = source->with_edits(std::move(edits));
        ASSERT_TRUE(edited.has_value()) << edited.error().message();
        EXPECT_LT(fixtures::relative_error(logits(*edited), want), 2e-5)
            << family << " " << input.source->name;
      }
    }
  }
}

TEST(InputScaling, EditsOfSeveralInputsMultiply) {
  Rng rng(3);
  const auto source = fixtures::open_checkpoint(fixtures::model_data("gemma3"));
  WeightEdits edits;
  for (int times = 0; times < 2; ++times) {
    for (std::int64_t layer = 0; layer < source->graph()->config.layer_count; ++layer) {
      for (const ScalableInput& input : scalable_inputs(*source->graph(), layer))
        add_scaling(input, random_factors(input.source_size(), rng), edits);
    }
  }
  const auto edited = source->with_edits(std::move(edits));
  ASSERT_TRUE(edited.has_value());
  EXPECT_LT(fixtures::relative_error(logits(*edited), logits(source)), 1e-4);
}

TEST(Transforms, LeaveTheLogitsOfEveryFamilyAsTheyAre) {
  for (const char* family : fixtures::kFamilies) {
    const auto source = fixtures::open_checkpoint(fixtures::model_data(family));
    const TokenChunks chunks = random_chunks(source->graph()->config.vocab_size, 4, 32);
    for (const Transform* transform : transforms()) {
      const Lane lane = find_lane("w8a8+" + std::string(transform->name)).value();
      const auto model = transformed(source, lane, chunks, 1);
      ASSERT_TRUE(model.has_value()) << model.error().message();
      EXPECT_LT(fixtures::relative_error(logits(model->checkpoint), logits(source)), 1e-4)
          << family << " " << lane.name;
    }
  }
}

// Norms of 16 bits hold their share exactly: what is written computes the same.
TEST(Transforms, LeaveNormsThatTheirTypeCanHold) {
  const auto source = fixtures::open_checkpoint(fixtures::model_data("gemma3"));
  const TokenChunks chunks = random_chunks(source->graph()->config.vocab_size, 4, 32);
  const auto model = transformed(source, find_lane("w8a8+smoothquant").value(), chunks);
  ASSERT_TRUE(model.has_value());
  int edited = 0;
  for (const Parameter& p : source->graph()->parameters) {
    if (!model->checkpoint->edited(p) || is_linear(p.role)) continue;
    ++edited;
    std::vector<float> values(static_cast<std::size_t>(p.cols));
    model->checkpoint->weight(p)->decode_rows(0, 1, values.data());
    std::vector<float> stored = values;
    round_values(DType::kBF16, stored.data(), p.cols);
    for (std::size_t i = 0; i < values.size(); ++i)
      EXPECT_NEAR(stored[i], values[i], 1e-6) << p.name << " " << i;
  }
  EXPECT_GT(edited, 0);
}

void expect_own_statistics(const TransformedModel& model, const TokenChunks& chunks) {
  ThreadPool pool(1);
  Statistics want;
  auto runtime = Runtime::load(model.checkpoint).value();
  ASSERT_TRUE(collect_samples(*runtime, chunks, 0, 0, pool, no_progress(), &want).has_value());
  ASSERT_EQ(model.statistics.modules().size(), want.modules().size());
  for (const auto& [module, inputs] : want.modules()) {
    const InputStatistics& got = model.statistics.modules().at(module);
    for (std::size_t c = 0; c < inputs.sum_squares.size(); ++c) {
      EXPECT_NEAR(got.sum_squares[c], inputs.sum_squares[c], 1e-3 * inputs.sum_squares[c] + 1e-9);
      EXPECT_NEAR(got.absmax[c], inputs.absmax[c], 1e-3 * inputs.absmax[c] + 1e-6);
    }
  }
}

TEST(Transforms, StatisticsAreThoseOfThePassOverTheTransformedModel) {
  const auto source = fixtures::open_checkpoint(fixtures::model_data("qwen3"));
  const TokenChunks chunks = random_chunks(source->graph()->config.vocab_size, 4, 32);
  for (const char* name : {"w8a8+smoothquant+awq", "w8a8+rotate+weighted", "fp8-static+rotate",
                           "w8a8+rotate+awq", "w8a8+rotate+smoothquant"}) {
    SCOPED_TRACE(name);
    const auto model = transformed(source, find_lane(name).value(), chunks);
    ASSERT_TRUE(model.has_value()) << model.error().message();
    expect_own_statistics(*model, chunks);
  }
}

TEST(Rotations, TakeNoStatisticsOfTheModelAsItWasAndNoneWithoutAText) {
  const auto source = fixtures::open_checkpoint(fixtures::model_data("qwen3"));
  const TokenChunks chunks = random_chunks(source->graph()->config.vocab_size, 4, 32);
  const Lane lane = find_lane("w8a8+rotate+weighted").value();
  ThreadPool pool(1);
  auto runtime = Runtime::load(source).value();
  const Statistics before = collect_statistics(*runtime, chunks, pool, no_progress()).value();
  const auto apply = [&](const TokenChunks& text) {
    return apply_transforms({.source = *source, .lane = lane, .statistics = &before}, source, text,
                            kBudget, pool, no_progress());
  };
  const auto model = apply(chunks);
  ASSERT_TRUE(model.has_value());
  expect_own_statistics(*model, chunks);
  const auto data_free = apply({});
  ASSERT_TRUE(data_free.has_value());
  EXPECT_TRUE(data_free->statistics.modules().empty());
  EXPECT_EQ(data_free->checkpoint->content_hash().value(),
            model->checkpoint->content_hash().value());
}

// Every family turns the residual stream, or says why not; the values of the heads in any case.
TEST(Rotations, AreMergedIntoEveryFamilyAsFarAsTheyCancel) {
  std::set<std::string_view> seen;
  std::set<std::string_view> turned;
  for (const char* family : fixtures::kFamilies) {
    const auto source = fixtures::open_checkpoint(fixtures::model_data(family));
    const Graph& graph = *source->graph();
    const auto model = transformed(source, find_lane("w8a8+rotate").value(), {}, 1);
    ASSERT_TRUE(model.has_value()) << model.error().message();
    EXPECT_LT(fixtures::relative_error(logits(model->checkpoint), logits(source)), 2e-5) << family;
    seen.insert(source->architecture()->name);
    const bool stream = model->notices.empty();
    if (stream) turned.insert(source->architecture()->name);
    EXPECT_EQ(stream, !graph.config.tied_embeddings && !graph.config.post_norms) << family;
    for (const Parameter& p : graph.parameters) {
      const bool values =
          p.role == Role::kValue || p.role == Role::kValueBias || p.role == Role::kAttentionOutput;
      const bool heads = p.role == Role::kQueryNorm || p.role == Role::kKeyNorm ||
                         p.role == Role::kQueryBias || p.role == Role::kKeyBias;
      EXPECT_EQ(model->checkpoint->edited(p), values || (stream && !heads)) << family << p.name;
    }
  }
  EXPECT_EQ(seen.size(), architectures().size());
  EXPECT_GE(turned.size(), 5U);
}

TEST(Rotations, LeaveTheCanaryAsItIs) {
  const auto source = fixtures::open_checkpoint(kCanary);
  const auto model = transformed(source, find_lane("w8a8+rotate").value(), {});
  ASSERT_TRUE(model.has_value());
  EXPECT_TRUE(model->notices.empty());
  EXPECT_LT(fixtures::relative_error(logits(model->checkpoint), logits(source)), 2e-5);
}

// Written and read again, experts apart or in one tensor, from a folder and from a GGUF file: no
// farther from the source than rounding to eight bits (to f16, where these widths fit no blocks)
// takes.
TEST(Rotations, AreWrittenIntoArtefactsThatKnowNothingOfThem) {
  for (const char* family : {"llama-bias", "qwen2", "qwen3-moe-fused", "mixtral"}) {
    const auto folder = fixtures::open_checkpoint(fixtures::model_data(family));
    const std::vector<float> want = logits(folder);
    const fixtures::ScratchFolder scratch;
    fixtures::write_gguf(*folder, scratch.path() / "model.gguf");
    const auto gguf = fixtures::open_checkpoint(scratch.path() / "model.gguf");
    const auto error = [&](const auto& source, const std::string& name) -> double {
      const Lane lane = find_lane(name).value();
      const auto model = transformed(source, lane, {});
      const auto out = scratch.path() / (name + (lane.is_gguf() ? ".gguf" : ""));
      ThreadPool pool(2);
      const auto done = run_quantize({.source = *model->checkpoint, .lane = lane, .out = out}, pool,
                                     no_progress());
      EXPECT_TRUE(done.has_value()) << done.error().message();
      if (!done) return 0;
      return fixtures::relative_error(logits(fixtures::open_checkpoint(out)), want);
    };
    EXPECT_LT(error(folder, "w8a8+rotate"), 2 * error(folder, "w8a8")) << family;
    EXPECT_LT(error(gguf, "gguf:q8_0+rotate"), 2 * error(gguf, "gguf:q8_0") + 1e-3) << family;
  }
}

// A few columns far above the others set the scales of their groups; rotated, all columns share
// the load.
TEST(Rotations, HalveTheErrorOfAMatrixWithOutliers) {
  constexpr std::int64_t kRows = 64;
  constexpr std::int64_t kCols = 256;
  Rng rng(8);
  std::vector<float> matrix;
  for (std::int64_t i = 0; i < kRows * kCols; ++i)
    matrix.push_back(static_cast<float>(rng.normal() * (i % kCols % 37 == 0 ? 20 : 1)));
  const Lane lane = find_lane("w4a16").value();
  const auto error = [&](const std::vector<float>& values) {
    const auto tensor =
        algorithm_by_name("rtn")->quantize(lane.scheme.weight, values.data(), kRows, kCols, {});
    EXPECT_TRUE(tensor.has_value());
    std::vector<float> rounded(values.size());
    tensor->decode_rows(0, kRows, rounded.data());
    return squared_difference(rounded, values);
  };
  std::vector<float> rotated = matrix;
  Rotation(kCols, 1).turn(rotated.data(), kRows);
  EXPECT_LT(error(rotated), 0.5 * error(matrix));
}

TEST(Transforms, GiveTheSameEditsAtAnyThreadCount) {
  const auto source = fixtures::open_checkpoint(fixtures::model_data("llama"));
  const TokenChunks chunks = random_chunks(source->graph()->config.vocab_size, 4, 32);
  for (const char* name : {"w8a8+smoothquant", "fp8+awq"}) {
    const Lane lane = find_lane(name).value();
    const auto hash = [&](int threads) {
      return transformed(source, lane, chunks, threads)->checkpoint->content_hash().value();
    };
    const std::string one = hash(1);
    EXPECT_EQ(one, hash(3)) << name;
    EXPECT_NE(one, source->content_hash().value()) << name;
  }
}

// The canary with some channels of the stream's norms grown out of proportion, and the readers'
// columns shrunk: the same function, harder to round.
std::shared_ptr<const Checkpoint> with_outliers(const Checkpoint& source) {
  WeightEdits edits;
  for (std::int64_t layer = 0; layer < source.graph()->config.layer_count; ++layer) {
    for (const ScalableInput& input : scalable_inputs(*source.graph(), layer)) {
      std::vector<float> factors(static_cast<std::size_t>(input.source_size()), 1.0F);
      for (std::size_t i = 3; i < factors.size(); i += 29) factors[i] = 1.0F / 32;
      add_scaling(input, factors, edits);
    }
  }
  return source.with_edits(std::move(edits)).value();
}

TEST(Transforms, UndoOutliersBeforeRounding) {
  const auto canary = fixtures::open_checkpoint(kCanary);
  const auto source = with_outliers(*canary);
  const TokenChunks chunks = random_chunks(canary->graph()->config.vocab_size, 2, 32);
  const std::vector<float> want = logits(canary);
  const auto error = [&](const std::string& name) {
    const Lane lane = find_lane(name).value();
    const auto model = transformed(source, lane, chunks);
    EXPECT_TRUE(model.has_value()) << model.error().message();
    const fixtures::ScratchFolder scratch;
    ThreadPool pool(2);
    EXPECT_TRUE(
        run_quantize({.source = *model->checkpoint, .lane = lane, .out = scratch.path() / "out"},
                     pool, no_progress())
            .has_value());
    return squared_difference(logits(fixtures::open_checkpoint(scratch.path() / "out")), want);
  };
  EXPECT_LT(error("w4a16+awq+rtn"), 0.5 * error("w4a16+rtn"));
  EXPECT_LT(error("w8a8+smoothquant"), 0.5 * error("w8a8"));
}

TEST(Transforms, AreAskedForByNameBeforeTheAlgorithm) {
  const Lane lane = find_lane("w8a8+smoothquant+gptq").value();
  EXPECT_EQ(lane.name, "w8a8+smoothquant+gptq");
  EXPECT_EQ(lane.transforms, std::vector<std::string>{"smoothquant"});
  EXPECT_EQ(lane.algorithm, "gptq");
  EXPECT_EQ(find_lane("w4a16+awq")->algorithm, "weighted");
  const Lane rotated = find_lane("w4a16+rotate+awq+gptq").value();
  EXPECT_EQ(rotated.transforms, (std::vector<std::string>{"rotate", "awq"}));
  EXPECT_TRUE(turns_inputs(rotated) && wants_pass(rotated));
  EXPECT_FALSE(wants_pass(find_lane("w8a8+rotate").value()));
  EXPECT_FALSE(turns_inputs(find_lane("w8a8+smoothquant").value()));
  for (const char* name :
       {"w4a16+gptq+awq", "w4a16+awq+", "w4a16+", "w4a16+awq+none", "f32+awq", "w4a16+awq+rotate",
        "w8a8+rotate+rotate", "w4a16+gptq+gptq", "gguf:f16+awq"}) {
    const auto refused = find_lane(name);
    ASSERT_FALSE(refused.has_value()) << name;
    EXPECT_EQ(refused.error().code, ErrorCode::kUsage) << name;
  }
}

}  // namespace
}  // namespace quantlane
