#include "runtime/layer_walk.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <numeric>
#include <string>

#include "runtime/runtime_fixtures.h"

namespace quantlane {
namespace {

using fixtures::load_model;
using fixtures::model_data;

constexpr std::int64_t kChunk = 16;
constexpr std::size_t kWalkTokens = 3 * 16;

std::vector<std::int32_t> some_ids() {
  std::vector<std::int32_t> ids;
  for (std::size_t i = 0; i < kWalkTokens; ++i)
    ids.push_back(static_cast<std::int32_t>((i * 37 + 11) % 96));
  return ids;
}

// The inputs of every matrix in a plain forward pass.
class Recorder final : public LinearObserver {
 public:
  void observe(const Parameter& linear, const float* x, std::int64_t tokens) override {
    if (linear.layer >= 0) seen[linear.name].assign(x, x + tokens * linear.cols);
  }
  std::map<std::string, std::vector<float>> seen;
};

Recorder forward(Runtime& runtime, const std::vector<std::int32_t>& ids, ThreadPool& pool) {
  Recorder recorder;
  std::vector<KvCache> caches;
  for (std::size_t i = 0; i < kWalkTokens / kChunk; ++i)
    caches.emplace_back(runtime.config(), kChunk);
  std::vector<Segment> segments;
  for (std::size_t i = 0; i < caches.size(); ++i) {
    segments.push_back({.tokens = std::span(ids).subspan(i * kChunk, kChunk),
                        .cache = &caches[i],
                        .logits_from = kChunk});
  }
  std::vector<float> logits;
  EXPECT_TRUE(runtime.forward(segments, pool, logits, &recorder).has_value());
  return recorder;
}

struct Inputs {
  std::vector<float> settled;
  std::vector<float> exact;
};
// `outputs`: columns of what stands beside inputs of down, once the streams have parted.
LayerWalk::See keep_in(Inputs& inputs, std::int64_t width, std::int64_t outputs = 0) {
  return [&inputs, width, outputs](const float* settled, const float* exact, std::int64_t tokens) {
    const std::int64_t beside = exact == settled || outputs == 0 ? width : outputs;
    inputs.settled.insert(inputs.settled.end(), settled, settled + tokens * width);
    inputs.exact.insert(inputs.exact.end(), exact, exact + tokens * beside);
  };
}
std::unique_ptr<LayerWalk> start(const Runtime& runtime, const std::vector<std::int32_t>& ids,
                                 ThreadPool& pool,
                                 LayerWalk::Beside beside = LayerWalk::Beside::kExact,
                                 const WalkMemory& memory = {}) {
  auto walk = LayerWalk::start(runtime, ids, kChunk, pool, beside, memory);
  EXPECT_TRUE(walk.has_value()) << walk.error().message();
  return std::move(walk).value();
}
// As little memory as it can do with.
WalkMemory on_disk() {
  return {.spill = std::make_shared<ScratchFile>(
              ScratchFile::reserve(fs::temp_directory_path(), 0).value()),
          .kept_bytes = 0};
}

Inputs inputs_of(LayerWalk& walk, const ModelConfig& config) {
  Inputs inputs;
  const std::int64_t outputs = walk.shows_outputs() ? config.hidden_size : 0;
  const std::int64_t width = stage_width(config, walk.stage());
  EXPECT_TRUE(walk.inputs(keep_in(inputs, width, outputs)).has_value());
  return inputs;
}

// x [tokens, cols] times the rows of a matrix.
std::vector<float> times(const std::vector<float>& x, const Runtime& runtime, const Parameter& p) {
  std::vector<float> values(static_cast<std::size_t>(p.rows * p.cols));
  runtime.checkpoint().weight(p).value().decode_rows(0, p.rows, values.data());
  std::vector<float> y;
  for (auto row = x.begin(); row != x.end(); row += p.cols) {
    for (auto w = values.begin(); w != values.end(); w += p.cols)
      y.push_back(std::inner_product(w, w + p.cols, row, 0.0F));
  }
  return y;
}

// Rows that differ by no more than products of bf16 make them.
void expect_near(const std::vector<float>& rows, const std::vector<float>& want,
                 const std::string& name) {
  ASSERT_EQ(rows.size(), want.size()) << name;
  double off = 0;
  double all = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const double difference = static_cast<double>(rows[i]) - static_cast<double>(want[i]);
    off += difference * difference;
    all += static_cast<double>(want[i]) * static_cast<double>(want[i]);
  }
  EXPECT_LT(off, 1e-4 * all) << name;
}

// `p` of the model with every weight halved.
Weight halved(const Runtime& runtime, const Parameter& p) {
  const auto values =
      std::make_shared<std::vector<float>>(static_cast<std::size_t>(p.rows * p.cols));
  runtime.checkpoint().weight(p).value().decode_rows(0, p.rows, values->data());
  for (float& value : *values) value *= 0.5F;
  return {values, p.rows, p.cols};
}

TEST(LayerWalk, GivesTheInputsOfAForwardPassAndKeepsThemWhenMatricesChange) {
  for (const char* family : {"llama", "gemma3"}) {
    const auto runtime = load_model(model_data(family));
    ASSERT_NE(runtime, nullptr);
    ThreadPool pool(2);
    const auto ids = some_ids();
    const Recorder want = forward(*runtime, ids, pool);
    const Graph& graph = *runtime->checkpoint().graph();
    for (const bool changes : {false, true}) {
      const auto walking = start(*runtime, ids, pool);
      const auto walking_alone = start(*runtime, ids, pool, LayerWalk::Beside::kNothing);
      const auto spilling = start(*runtime, ids, pool, LayerWalk::Beside::kExact, on_disk());
      LayerWalk& walk = *walking;
      LayerWalk& alone = *walking_alone;
      while (walk.layer() < graph.config.layer_count) {
        const Inputs inputs = inputs_of(walk, graph.config);
        const Inputs again = inputs_of(walk, graph.config);  // some are kept from the first time
        EXPECT_TRUE(again.settled == inputs.settled && again.exact == inputs.exact);
        const Inputs spilled = inputs_of(*spilling, graph.config);
        EXPECT_TRUE(spilled.settled == inputs.settled && spilled.exact == inputs.exact);
        const Inputs settled = inputs_of(alone, graph.config);
        EXPECT_TRUE(settled.settled == inputs.settled && settled.exact == inputs.settled);
        for (const Parameter& p : graph.parameters) {
          if (!is_linear(p.role) || p.layer != walk.layer() || stage_of(p.role) != walk.stage())
            continue;
          const auto& seen = want.seen.at(p.name);
          const bool outputs = walk.shows_outputs() && changes;
          expect_near(inputs.exact, outputs ? times(seen, *runtime, p) : seen, p.name);
          EXPECT_EQ(inputs.settled == inputs.exact,
                    !changes || (p.layer == 0 && walk.stage() == LayerStage::kHeads))
              << p.name;
          if (!changes) continue;
          walk.settle(p, halved(*runtime, p));
          alone.settle(p, halved(*runtime, p));
          spilling->settle(p, halved(*runtime, p));
        }
        ASSERT_TRUE(walk.advance().has_value());
        ASSERT_TRUE(alone.advance().has_value());
        ASSERT_TRUE(spilling->advance().has_value());
      }
    }
  }
}

// Rows [tokens, width] of the down matrix of an expert, and how many tokens were its own.
std::int64_t expert_inputs_of(LayerWalk& walk, const Parameter& down, std::int64_t least,
                              Inputs& inputs) {
  inputs = {};
  const auto own = walk.expert_inputs(down.expert, least, keep_in(inputs, down.cols));
  EXPECT_TRUE(own.has_value());
  return own.value_or(-1);
}

TEST(LayerWalk, GivesEachExpertTheTokensOfItsOwnAndOthersWhereTheseAreFew) {
  for (const char* family : {"mixtral", "qwen3-moe"}) {
    const auto runtime = load_model(model_data(family));
    ASSERT_NE(runtime, nullptr);
    ThreadPool pool(2);
    const auto ids = some_ids();
    const Recorder want = forward(*runtime, ids, pool);
    const Graph& graph = *runtime->checkpoint().graph();
    const auto walking = start(*runtime, ids, pool);
    const auto spilling = start(*runtime, ids, pool, LayerWalk::Beside::kExact, on_disk());
    LayerWalk& walk = *walking;
    while (walk.layer() < graph.config.layer_count) {
      for (const Parameter& p : graph.parameters) {
        if (p.layer != walk.layer() || walk.stage() != LayerStage::kDown || p.expert < 0 ||
            p.role != Role::kDown) {
          continue;
        }
        Inputs inputs;
        const std::int64_t own = expert_inputs_of(walk, p, 0, inputs);
        // Behind the first layer products of bf16 may send a token to another expert.
        const auto seen = want.seen.find(p.name);
        if (p.layer > 0) {
          EXPECT_EQ(inputs.settled.size(), static_cast<std::size_t>(own * p.cols)) << p.name;
        } else if (seen != want.seen.end()) {
          EXPECT_EQ(static_cast<std::size_t>(own * p.cols), seen->second.size());
          expect_near(inputs.settled, seen->second, p.name);
        } else {
          EXPECT_EQ(own, 0) << p.name;
        }
        EXPECT_EQ(expert_inputs_of(walk, p, kWalkTokens, inputs), own);
        EXPECT_EQ(inputs.settled.size(), kWalkTokens * static_cast<std::size_t>(p.cols));
        expert_inputs_of(walk, p, own + 4, inputs);
        const auto rows = static_cast<std::int64_t>(inputs.settled.size()) / p.cols;
        EXPECT_EQ(rows, std::min<std::int64_t>(own + 4, kWalkTokens));
        EXPECT_EQ(inputs.settled.size(), inputs.exact.size());
        Inputs spilled;
        EXPECT_EQ(expert_inputs_of(*spilling, p, own + 4, spilled), own);
        EXPECT_TRUE(spilled.settled == inputs.settled && spilled.exact == inputs.exact);
      }
      ASSERT_TRUE(walk.advance().has_value());
      ASSERT_TRUE(spilling->advance().has_value());
    }
  }
}

TEST(LayerWalk, DenseLayersBetweenExpertsAreTheSameOnDisk) {
  const auto runtime = load_model(model_data("qwen3-moe-step"));
  ASSERT_NE(runtime, nullptr);
  ThreadPool pool(2);
  std::vector<std::int32_t> ids;  // of more than one batch
  while (ids.size() <= static_cast<std::size_t>(walk_batch_tokens(1 << 20, kChunk)))
    std::ranges::copy(some_ids(), std::back_inserter(ids));
  const Graph& graph = *runtime->checkpoint().graph();
  ASSERT_FALSE(graph.config.experts.dense_layers.empty());
  const auto walking = start(*runtime, ids, pool);
  const auto spilling = start(*runtime, ids, pool, LayerWalk::Beside::kExact, on_disk());
  while (walking->layer() < graph.config.layer_count) {
    const bool sparse = graph.config.is_sparse(walking->layer());
    if (!sparse || walking->stage() != LayerStage::kDown) {
      const Inputs inputs = inputs_of(*walking, graph.config);
      const Inputs spilled = inputs_of(*spilling, graph.config);
      EXPECT_TRUE(spilled.settled == inputs.settled && spilled.exact == inputs.exact)
          << "layer " << walking->layer();
    }
    for (const Parameter& p : graph.parameters) {
      if (!is_linear(p.role) || p.layer != walking->layer() || stage_of(p.role) != walking->stage())
        continue;
      walking->settle(p, halved(*runtime, p));
      spilling->settle(p, halved(*runtime, p));
    }
    ASSERT_TRUE(walking->advance().has_value());
    ASSERT_TRUE(spilling->advance().has_value());
  }
}

}  // namespace
}  // namespace quantlane
