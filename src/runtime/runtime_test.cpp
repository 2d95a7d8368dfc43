#include "runtime/runtime.h"

#include <map>

#include <gmock/gmock.h>

#include "runtime/runtime_fixtures.h"

namespace quantlane {
namespace {

using fixtures::load_model;
using fixtures::logits_of;
using fixtures::model_data;
using fixtures::relative_error;

// Ids that exercise every position; any will do.
std::vector<std::int32_t> some_ids(std::size_t count, std::int32_t vocab) {
  std::vector<std::int32_t> ids;
  for (std::size_t i = 0; i < count; ++i) {
    ids.push_back(static_cast<std::int32_t>((i * 37 + 11) % static_cast<std::size_t>(vocab)));
  }
  return ids;
}

// ---- properties ------------------------------------------------------------------------------

TEST(RuntimePass, SameBitsForAnyThreadCountAndCompany) {
  for (const char* family : {"llama", "gemma3"}) {
    const auto runtime = load_model(model_data(family));
    ASSERT_NE(runtime, nullptr);
    const auto first = some_ids(40, 96);
    const auto second = some_ids(23, 90);
    const auto alone = logits_of(*runtime, first, 1);
    EXPECT_EQ(logits_of(*runtime, first, 3), alone) << family;
    ThreadPool pool(2);
    KvCache cache_a(runtime->config(), 64);
    KvCache cache_b(runtime->config(), 64);
    const Segment segments[] = {{.tokens = second, .cache = &cache_b, .logits_from = 20},
                                {.tokens = first, .cache = &cache_a, .logits_from = 0}};
    std::vector<float> logits;
    ASSERT_TRUE(runtime->forward(segments, pool, logits).has_value());
    ASSERT_EQ(logits.size(), (3 + 40) * 96U);
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(), logits.begin() + std::ptrdiff_t{3 * 96}))
        << family;
    EXPECT_EQ(cache_a.length(), 40);
    EXPECT_EQ(cache_b.length(), 23);
  }
}

TEST(RuntimePass, PiecesGiveTheSameLogits) {
  for (const char* family : {"llama", "mistral", "gemma3", "qwen3-moe"}) {
    const auto runtime = load_model(model_data(family));
    ASSERT_NE(runtime, nullptr);
    const auto ids = some_ids(40, 96);
    const auto whole = logits_of(*runtime, ids);
    ThreadPool pool(1);
    KvCache cache(runtime->config(), 40);
    std::vector<float> joined;
    std::vector<float> logits;
    for (const auto& [from, count] :
         {std::pair<std::size_t, std::size_t>{0, 17}, {17, 1}, {18, 22}}) {
      const Segment segment = {
          .tokens = std::span(ids).subspan(from, count), .cache = &cache, .logits_from = 0};
      ASSERT_TRUE(runtime->forward({&segment, 1}, pool, logits).has_value());
      joined.insert(joined.end(), logits.begin(), logits.end());
    }
    EXPECT_LT(relative_error(joined, whole), 1e-5) << family;
  }
}

class NameRecorder final : public LinearObserver {
 public:
  void observe(const Parameter& linear, const float* x, std::int64_t tokens) override {
    auto& [count, sum] = seen[linear.name];
    count += tokens;
    for (std::int64_t i = 0; i < tokens * linear.cols; ++i) {
      sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
    }
  }
  std::map<std::string, std::pair<std::int64_t, double>> seen;
};

TEST(RuntimePass, ObserverSeesTheInputOfEveryLinear) {
  const auto runtime = load_model(model_data("llama"));
  ASSERT_NE(runtime, nullptr);
  const auto ids = some_ids(12, 96);
  ThreadPool pool(1);
  KvCache cache(runtime->config(), 12);
  const Segment segment = {.tokens = ids, .cache = &cache, .logits_from = 7};
  std::vector<float> logits;
  NameRecorder recorder;
  ASSERT_TRUE(runtime->forward({&segment, 1}, pool, logits, &recorder).has_value());
  std::size_t linears = 0;
  for (const Parameter& parameter : runtime->checkpoint().graph()->parameters) {
    if (!is_linear(parameter.role)) continue;
    ++linears;
    const auto& [count, sum] = recorder.seen[parameter.name];
    EXPECT_EQ(count, parameter.role == Role::kHead ? 5 : 12) << parameter.name;
    EXPECT_GT(sum, 0) << parameter.name;
  }
  EXPECT_EQ(recorder.seen.size(), linears);
  EXPECT_EQ(recorder.seen["model.layers.1.mlp.gate_proj.weight"],
            recorder.seen["model.layers.1.mlp.up_proj.weight"]);
}

// ---- refusals --------------------------------------------------------------------------------

class RuntimeRequest : public ::testing::Test {
 protected:
  void SetUp() override {
    runtime_ = load_model(model_data("llama"));
    ASSERT_NE(runtime_, nullptr);
  }
  Result<void> forward(const std::vector<std::int32_t>& ids, KvCache& cache, std::int64_t from) {
    const Segment segment = {.tokens = ids, .cache = &cache, .logits_from = from};
    return runtime_->forward({&segment, 1}, pool_, logits_);
  }
  std::unique_ptr<Runtime> runtime_;
  ThreadPool pool_{1};
  std::vector<float> logits_;
};

TEST_F(RuntimeRequest, RefusesTokensOutsideTheVocabularyAndKeepsTheCache) {
  KvCache cache(runtime_->config(), 8);
  for (const std::int32_t bad : {-1, 96, 2147483647}) {
    const auto done = forward({1, 2, bad}, cache, 0);
    ASSERT_FALSE(done.has_value());
    EXPECT_EQ(done.error().code, ErrorCode::kInvalidArgument);
    EXPECT_THAT(done.error().message(), ::testing::HasSubstr(std::to_string(bad)));
    EXPECT_EQ(cache.length(), 0);
  }
}

TEST_F(RuntimeRequest, RefusesMoreTokensThanTheCacheHolds) {
  KvCache cache(runtime_->config(), 8);
  ASSERT_TRUE(forward(some_ids(6, 96), cache, 0).has_value());
  EXPECT_FALSE(forward(some_ids(3, 96), cache, 0).has_value());
  EXPECT_EQ(cache.length(), 6);
  EXPECT_TRUE(forward(some_ids(2, 96), cache, 2).has_value());
  EXPECT_TRUE(logits_.empty());
}

TEST_F(RuntimeRequest, RefusesCachesOfOtherModelsAndBadRanges) {
  ModelConfig other = runtime_->config();
  other.layer_count = 1;
  KvCache foreign(other, 8);
  EXPECT_FALSE(forward({1}, foreign, 0).has_value());
  KvCache cache(runtime_->config(), 8);
  EXPECT_FALSE(forward({1}, cache, 2).has_value());
  EXPECT_FALSE(forward({1}, cache, -1).has_value());
  EXPECT_TRUE(runtime_->forward({}, pool_, logits_).has_value());
}

TEST(RuntimeLoad, LayerByLayerItNeedsLessMemoryAndGivesTheSameLogits) {
  const auto checkpoint = Checkpoint::open(model_data("llama"));
  ASSERT_TRUE(checkpoint.has_value());
  const auto whole = Runtime::load(*checkpoint);
  ASSERT_TRUE(whole.has_value());
  const auto ids = some_ids(20, 96);
  const auto want = logits_of(**whole, ids);
  const auto least = [&](Residency residency) {
    std::uint64_t bytes = 1024;
    while (!Runtime::load(*checkpoint, Arithmetic::kFloat, bytes, residency)) bytes += 1024;
    return bytes;
  };
  const std::uint64_t by_layers = least(Residency::kLayers);
  EXPECT_LT(by_layers, least(Residency::kWhole));
  const auto runtime =
      Runtime::load(*checkpoint, Arithmetic::kFloat, by_layers, Residency::kLayers);
  ASSERT_TRUE(runtime.has_value());
  EXPECT_EQ(logits_of(**runtime, ids), want);
  EXPECT_EQ(logits_of(**runtime, ids), want) << "pages are read again";
}

TEST(RuntimeLoad, RefusesAModelThatDoesNotFitTheMemory) {
  const auto checkpoint = Checkpoint::open(model_data("llama"));
  ASSERT_TRUE(checkpoint.has_value());
  const auto runtime = Runtime::load(*checkpoint, Arithmetic::kFloat, 100000);
  ASSERT_FALSE(runtime.has_value());
  EXPECT_EQ(runtime.error().code, ErrorCode::kResourceLimit);
  EXPECT_TRUE(Runtime::load(*checkpoint, Arithmetic::kFloat, 64 << 20).has_value());
}

}  // namespace
}  // namespace quantlane
