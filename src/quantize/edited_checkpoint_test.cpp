// Checkpoints with edits go through the writers like any other.
#include <cmath>

#include <gtest/gtest.h>

#include "core/rng.h"
#include "quantize/pipeline.h"
#include "quantize/transforms/apply_transforms.h"
#include "runtime/runtime_fixtures.h"

namespace quantlane {
namespace {

using fixtures::kCanary;

// Every parameter scaled by rows and columns, vectors too.
std::shared_ptr<const Checkpoint> with_random_factors(const Checkpoint& source) {
  Rng rng(11);
  WeightEdits edits;
  for (const Parameter& p : source.graph()->parameters) {
    WeightEdit& edit = edits[p.name];
    for (std::int64_t c = 0; c < p.cols; ++c)
      edit.column_factors.push_back(static_cast<float>(0.8 + 0.4 * rng.uniform()));
    for (std::int64_t r = 0; r < p.rows; ++r)
      edit.row_factors.push_back(static_cast<float>(0.8 + 0.4 * rng.uniform()));
  }
  return source.with_edits(std::move(edits)).value();
}

std::shared_ptr<const Checkpoint> written(const Checkpoint& source, const std::string& lane,
                                          const fs::path& out, bool requantize = false) {
  ThreadPool pool(2);
  const Lane found = find_lane(lane).value();
  const auto done =
      run_quantize({.source = source, .lane = found, .out = out, .allow_requantize = requantize},
                   pool, no_progress());
  EXPECT_TRUE(done.has_value()) << lane << " " << done.error().message();
  return fixtures::open_checkpoint(out);
}

double difference(const Checkpoint& got, const Checkpoint& want, const Parameter& p) {
  std::vector<float> values[2];
  for (int i = 0; i < 2; ++i) {
    values[i].resize(static_cast<std::size_t>(p.rows * p.cols));
    (i == 0 ? got : want).weight(p)->decode_rows(0, p.rows, values[i].data());
  }
  double error = 0;
  double norm = 0;
  for (std::size_t i = 0; i < values[0].size(); ++i) {
    error += std::pow(static_cast<double>(values[0][i]) - static_cast<double>(values[1][i]), 2);
    norm += std::pow(static_cast<double>(values[1][i]), 2);
  }
  return std::sqrt(error / norm);
}

void expect_written(const fs::path& path, const std::string& lane, double bound) {
  const auto edited = with_random_factors(*fixtures::open_checkpoint(path));
  const fixtures::ScratchFolder scratch;
  const auto artefact =
      written(*edited, lane, scratch.path() / (lane.starts_with("gguf") ? "out.gguf" : "out"));
  ASSERT_NE(artefact, nullptr);
  for (const Parameter& p : edited->graph()->parameters)
    EXPECT_LT(difference(*artefact, *edited, p), bound) << path << lane << p.name;
}

// One layout throughout: experts get tensors of their own, in the words of the older one.
TEST(EditedCheckpoint, ExpertsThatAreSplitTakeTheirRouterAlong) {
  const auto edited =
      with_random_factors(*fixtures::open_checkpoint(fixtures::model_data("mixtral-fused")));
  const fixtures::ScratchFolder scratch;
  const auto artefact = written(*edited, "bf16", scratch.path() / "out");
  ASSERT_NE(artefact, nullptr);
  for (const Parameter& p : artefact->graph()->parameters)
    EXPECT_NE(artefact->container().find(p.name), nullptr) << p.name;
}

TEST(EditedCheckpoint, IsWrittenAsEdited) {
  for (const char* family : fixtures::kFamilies) {
    const fs::path path = fixtures::model_data(family);
    expect_written(path, "f32", 1e-6);
    expect_written(path, "bf16", 3e-3);
    expect_written(path, "fp8", 0.04);
    expect_written(path, "w8a8", 0.02);
  }
  // With a tokenizer, which GGUF files carry.
  expect_written(kCanary, "gguf:f32", 1e-6);
  expect_written(kCanary, "gguf:q8_0", 0.01);
}

TEST(EditedCheckpoint, RunsAsItIsWritten) {
  const std::vector<std::int32_t> ids = {1, 5, 9, 2, 30, 7, 8, 11, 3, 4};
  for (const char* family : fixtures::kFamilies) {
    const auto edited =
        with_random_factors(*fixtures::open_checkpoint(fixtures::model_data(family)));
    const fixtures::ScratchFolder scratch;
    const auto artefact = written(*edited, "f32", scratch.path() / "out");
    auto one = Runtime::load(edited).value();
    auto other = Runtime::load(artefact).value();
    EXPECT_LT(
        fixtures::relative_error(fixtures::logits_of(*one, ids), fixtures::logits_of(*other, ids)),
        1e-5)
        << family;
  }
}

// Nobody need take on trust that rotations cancel: the turned weights can be written unrounded.
void expect_same_function(const fs::path& path, const std::string& plain, double bound) {
  const auto source = fixtures::open_checkpoint(path);
  ASSERT_NE(source, nullptr);
  const Lane lane = find_lane(plain + "+rotate").value();
  ThreadPool pool(2);
  const fixtures::ScratchFolder scratch;
  const auto turned =
      apply_transforms({.source = *source, .lane = lane}, source, {}, 0, pool, no_progress());
  ASSERT_TRUE(turned.has_value()) << turned.error().message();
  const auto artefact =
      written(*turned->checkpoint, plain, scratch.path() / (lane.is_gguf() ? "out.gguf" : "out"));
  ASSERT_NE(artefact, nullptr);
  EXPECT_GT(difference(*artefact, *source, *source->graph()->find(Role::kValue, 0)), 0.1) << plain;
  std::vector<std::int32_t> ids;
  for (int i = 0; i < 24; ++i) ids.push_back(3 + i % 20);
  const auto before = fixtures::load_model(path);
  const auto after = Runtime::load(artefact).value();
  EXPECT_LT(
      fixtures::relative_error(fixtures::logits_of(*after, ids), fixtures::logits_of(*before, ids)),
      bound)
      << plain;
}

TEST(EditedCheckpoint, TurnedAndUnroundedComputesTheSame) {
  expect_same_function(fixtures::model_data("llama"), "f32", 1e-4);
  expect_same_function(kCanary, "f32", 1e-4);
  expect_same_function(kCanary, "gguf:f32", 1e-4);
  expect_same_function(kCanary, "bf16", 0.05);
}

// Codes of the source are those of other values.
TEST(EditedCheckpoint, CodesOfAnEditedSourceAreNotCopied) {
  const auto source = fixtures::open_checkpoint(kCanary);
  const fixtures::ScratchFolder scratch;
  const auto quantized = written(*source, "gguf:q8_0", scratch.path() / "a.gguf");
  const auto edited = with_random_factors(*quantized);
  const Parameter& p = *source->graph()->find(Role::kDown, 0);
  ThreadPool pool(1);
  const Lane lane = find_lane("gguf:q8_0").value();
  EXPECT_TRUE(run_quantize({.source = *quantized, .lane = lane, .out = scratch.path() / "b.gguf"},
                           pool, no_progress())
                  .has_value());
  const auto refused = run_quantize(
      {.source = *edited, .lane = lane, .out = scratch.path() / "c.gguf"}, pool, no_progress());
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code, ErrorCode::kUnsupported);
  const auto artefact = written(*edited, "gguf:q8_0", scratch.path() / "d.gguf", true);
  EXPECT_LT(difference(*artefact, *edited, p), 0.01);
  EXPECT_GT(difference(*artefact, *quantized, p), 0.05);
}

// What every Linear is given has the same largest magnitude.
Statistics inputs_up_to(const Checkpoint& source, float largest) {
  Statistics statistics;
  for (const Parameter& p : source.graph()->parameters) {
    if (!is_block_linear(p.role)) continue;
    const std::vector<float> row(static_cast<std::size_t>(p.cols), largest);
    statistics.add(p.module(), row.data(), 1, p.cols);
  }
  return statistics;
}

// One edited matrix moves the inputs of all that come after it, whose own codes stay.
TEST(EditedCheckpoint, StaticScalesOfInputsAreThoseOfTheEditedModel) {
  const auto source = fixtures::open_checkpoint(kCanary);
  const fixtures::ScratchFolder scratch;
  ThreadPool pool(2);
  for (const char* name : {"fp8-static", "w8a8-static", "nvfp4"}) {
    const Lane lane = find_lane(name).value();
    const auto made = [&](const Checkpoint& from, float largest, const std::string& out) {
      const Statistics statistics = inputs_up_to(from, largest);
      const auto done = run_quantize({.source = from,
                                      .lane = lane,
                                      .statistics = &statistics,
                                      .out = scratch.path() / (name + out),
                                      .allow_requantize = true},
                                     pool, no_progress());
      EXPECT_TRUE(done.has_value()) << name << " " << done.error().message();
      return fixtures::open_checkpoint(scratch.path() / (name + out));
    };
    const auto base = made(*source, 3, "-base");
    const auto again = made(*base, 5, "-again");
    WeightEdits edits;
    const Parameter& up = *base->graph()->find(Role::kUp, 0);
    edits[up.name].row_factors.assign(static_cast<std::size_t>(up.rows), 1.25F);
    const auto edited = made(*base->with_edits(std::move(edits)).value(), 5, "-edited");
    const auto fresh = made(*source, 5, "-fresh");
    ASSERT_TRUE(again != nullptr && edited != nullptr && fresh != nullptr);
    const auto scale = [](const Checkpoint& artefact, const Parameter& p) {
      return artefact.weight(p)->input_rounding()->static_scale;
    };
    for (const Parameter& p : source->graph()->parameters) {
      if (!is_block_linear(p.role)) continue;
      EXPECT_EQ(scale(*edited, p), scale(*fresh, p)) << name << p.name;
      EXPECT_EQ(scale(*again, p), scale(*base, p)) << name << p.name;
      EXPECT_NE(scale(*base, p), scale(*fresh, p)) << name << p.name;
    }
  }
}

// vLLM takes the largest scale of what it fuses, and for NVFP4 leaves the codes as they are.
TEST(EditedCheckpoint, WhatEnginesFuseKeepsOneScaleOfTheTensor) {
  const auto source = fixtures::open_checkpoint(kCanary);
  const fixtures::ScratchFolder scratch;
  for (const char* lane : {"nvfp4a16", "nvfp4", "modelopt-nvfp4", "fp8-static"}) {
    ThreadPool pool(2);
    const auto made = [&](const Checkpoint& from, const std::string& out) {
      const Statistics statistics = inputs_up_to(from, 3);
      const Lane found = find_lane(lane).value();
      const auto done = run_quantize({.source = from,
                                      .lane = found,
                                      .statistics = &statistics,
                                      .out = scratch.path() / (lane + out),
                                      .allow_requantize = true},
                                     pool, no_progress());
      EXPECT_TRUE(done.has_value()) << lane << " " << done.error().message();
      return fixtures::open_checkpoint(scratch.path() / (lane + out));
    };
    const auto base = made(*source, "-base");
    WeightEdits edits;
    for (const Role role : {Role::kQuery, Role::kUp}) {
      const Parameter& p = *base->graph()->find(role, 0);
      edits[p.name].row_factors.assign(static_cast<std::size_t>(p.rows), 3.0F);
    }
    const auto edited = made(*base->with_edits(std::move(edits)).value(), "-edited");
    const auto scale = [&](Role role) {
      const Weight weight = edited->weight(*edited->graph()->find(role, 0)).value();
      const QuantTensor& tensor = *weight.quantized();
      return tensor.scheme.tensor_scale == TensorScale::kNone ? tensor.scales.at(0)
                                                              : tensor.tensor_scale;
    };
    EXPECT_EQ(scale(Role::kQuery), scale(Role::kKey)) << lane;
    EXPECT_EQ(scale(Role::kQuery), scale(Role::kValue)) << lane;
    EXPECT_EQ(scale(Role::kUp), scale(Role::kGate)) << lane;
  }
}

}  // namespace
}  // namespace quantlane
