#include "recommend/throughput_model.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "recommend/test_facts.h"

namespace quantlane {
namespace {

using namespace test_facts;  // NOLINT(google-build-using-namespace): the shared test inputs

// One of two GPUs that split every matrix and the heads between them.
ModelFacts half_of(ModelFacts model) {
  model.parameters /= 2;
  model.block_parameters /= 2;
  model.head_parameters /= 2;
  model.kv_bytes_per_token /= 2;
  return model;
}

// Speed-up per GPU over the 16-bit checkpoint, H200, 2048 tokens in, 128 out.
double speedup(const ModelFacts& model, const LaneFacts& lane, bool reference_on_two,
               std::int64_t concurrency) {
  const Device h200 = device("h200-sxm");
  const Workload workload = requests(2048, 128, concurrency);
  const ModelFacts base = reference_on_two ? half_of(model) : model;
  const double gpus = reference_on_two ? 2 : 1;
  return gpus * workload_seconds(base, reference(base), h200, workload) /
         workload_seconds(model, lane, h200, workload);
}

struct Anchor {
  std::string name;
  double predicted, measured;
  [[nodiscard]] double error() const { return std::abs(predicted / measured - 1); }
};

// NVIDIA ModelOpt examples/benchmark.md at a2fbac7, TensorRT-LLM 0.15.
std::vector<Anchor> modelopt_table(ComputePath path) {
  struct Row {
    std::int64_t concurrency;
    double fp8_8b, int4_8b, fp8_70b, int4_70b;
  };
  const Row rows[] = {
      {1, 1.41, 1.33, 1.90, 1.93}, {8, 1.31, 0.75, 1.99, 1.03}, {64, 1.30, 0.83, 2.10, 0.88}};
  const bool is_fp8 = path == ComputePath::kFp8;
  std::vector<Anchor> anchors;
  for (const Row& row : rows) {
    const std::string suffix =
        std::string(path_name(path)).append(" B=").append(std::to_string(row.concurrency));
    anchors.push_back(
        {"8B " + suffix,
         speedup(kLlama8B, is_fp8 ? fp8(kLlama8B) : w4a16(kLlama8B), false, row.concurrency),
         is_fp8 ? row.fp8_8b : row.int4_8b});
    anchors.push_back(
        {"70B " + suffix,
         speedup(kLlama70B, is_fp8 ? fp8(kLlama70B) : w4a16(kLlama70B), true, row.concurrency),
         is_fp8 ? row.fp8_70b : row.int4_70b});
  }
  return anchors;
}

double decode_rate(const ModelFacts& model, const LaneFacts& lane, const char* on,
                   std::int64_t context) {
  return 1 / decode_step(model, lane, device(on), requests(context, 1, 1)).step();
}

std::vector<Anchor> single_stream_anchors() {
  const auto latency = [](double intercept_ms, double slope_ms, double tokens) {
    return 1000 / (intercept_ms + slope_ms * tokens);
  };
  const Workload h200 = requests(2048, 128, 1);
  const auto end_to_end = [&](const LaneFacts& lane) {
    return 128 / workload_seconds(kLlama8B, lane, device("h200-sxm"), h200);
  };
  const double int4 = decode_rate(kQwen32B, w4a16(kQwen32B), "h100-sxm", 500);
  const double bf16 = decode_rate(kQwen32B, reference(kQwen32B), "h100-sxm", 500);
  return {
      // Latency fits of the vLLM blog of 2026-04-22, Llama-3.1-8B.
      {"H100 BF16 at 1k", decode_rate(kLlama8B, reference(kLlama8B), "h100-sxm", 1000),
       latency(6.44, 4.37e-5, 1000)},
      {"H100 BF16 at 64k", decode_rate(kLlama8B, reference(kLlama8B), "h100-sxm", 64000),
       latency(6.44, 4.37e-5, 64000)},
      {"B200 BF16 at 1k", decode_rate(kLlama8B, reference(kLlama8B), "b200", 1000),
       latency(3.93, 1.80e-5, 1000)},
      {"B200 BF16 at 64k", decode_rate(kLlama8B, reference(kLlama8B), "b200", 64000),
       latency(3.93, 1.80e-5, 64000)},
      {"H200 BF16 2048/128", end_to_end(reference(kLlama8B)), 173.8},
      {"H200 FP8 2048/128", end_to_end(fp8(kLlama8B)), 245.0},
      // Measurements of users, issues 40 and 3 of normiebench.
      {"M1 Max Q4_K_M", decode_rate(kLlama8B, q4_k_m(kLlama8B), "m1-max", 100), 46.2},
      {"M4 Q4_K_M", decode_rate(kLlama8B, q4_k_m(kLlama8B), "m4", 100), 20.9},
      {"Qwen3-32B INT4 on H100", int4 / bf16, 2.7},
  };
}

TEST(ThroughputModel, ReproducesTheSignOfEveryPublishedInt4Entry) {
  for (const Anchor& anchor : modelopt_table(ComputePath::kWeightOnly)) {
    EXPECT_EQ(anchor.predicted > 1, anchor.measured > 1)
        << anchor.name << ": " << anchor.predicted << " for " << anchor.measured;
  }
}

TEST(ThroughputModel, Fp8IsPredictedFasterWhereverItWasMeasuredFaster) {
  for (const Anchor& anchor : modelopt_table(ComputePath::kFp8)) {
    EXPECT_GT(anchor.predicted, 1.15) << anchor.name;
  }
}

TEST(ThroughputModel, MedianErrorOverThePublishedAnchorsIsBelowFifteenPercent) {
  std::vector<Anchor> anchors = modelopt_table(ComputePath::kFp8);
  for (const auto& more : {modelopt_table(ComputePath::kWeightOnly), single_stream_anchors()}) {
    anchors.insert(anchors.end(), more.begin(), more.end());
  }
  std::vector<double> errors;
  for (const Anchor& anchor : anchors) {
    errors.push_back(anchor.error());
    std::printf("  %-24s measured %8.2f predicted %8.2f error %5.1f %%\n", anchor.name.c_str(),
                anchor.measured, anchor.predicted, 100 * anchor.error());
  }
  std::sort(errors.begin(), errors.end());
  const double median = errors[errors.size() / 2];
  std::printf("  median error %.1f %%, largest %.1f %%\n", 100 * median, 100 * errors.back());
  EXPECT_LT(median, 0.15);
  EXPECT_LT(errors.back(), 0.40);
}

TEST(ThroughputModel, MoreBandwidthNeverMakesDecodingSlower) {
  Device d = device("h100-sxm");
  for (const LaneFacts& lane : six_lanes(kLlama8B)) {
    double last = 0;
    for (const double bandwidth : {5e11, 1e12, 2e12, 4e12, 8e12}) {
      d.bandwidth = bandwidth;
      const double rate = project(kLlama8B, lane, d, requests(1000, 200, 4)).decode_tok_s;
      EXPECT_GE(rate, last) << lane.name;
      last = rate;
    }
  }
}

TEST(ThroughputModel, LatencyGrowsWithConcurrencyAndContext) {
  const Device d = device("l4");
  for (const LaneFacts& lane : six_lanes(kLlama8B)) {
    double last = 0;
    for (std::int64_t concurrency = 1; concurrency <= 512; ++concurrency) {
      const double step = decode_step(kLlama8B, lane, d, requests(1000, 200, concurrency)).step();
      EXPECT_GT(step, last) << lane.name << " " << concurrency;
      last = step;
    }
    EXPECT_GT(decode_step(kLlama8B, lane, d, requests(9000, 200, 1)).step(),
              decode_step(kLlama8B, lane, d, requests(1000, 200, 1)).step());
  }
}

TEST(ThroughputModel, MemoryOnlyPathsGainNoCompute) {
  const Device a100 = device("a100-80g-sxm");
  const Workload prompts = requests(4096, 1, 32);
  EXPECT_GT(prefill_seconds(kLlama8B, fp8(kLlama8B), a100, prompts),
            prefill_seconds(kLlama8B, reference(kLlama8B), a100, prompts));
  EXPECT_LT(prefill_seconds(kLlama8B, w8a8(kLlama8B), a100, prompts),
            prefill_seconds(kLlama8B, reference(kLlama8B), a100, prompts));
  EXPECT_FALSE(project(kLlama8B, fp8(kLlama8B), a100, prompts).native);
}

TEST(ThroughputModel, WithoutAKernelNothingIsPredicted) {
  const Projection projection =
      project(kLlama8B, w4a16(kLlama8B), device("m2-max"), requests(1000, 100, 1));
  EXPECT_FALSE(projection.native);
  EXPECT_TRUE(std::isnan(projection.decode_tok_s));
  EXPECT_TRUE(std::isnan(projection.prefill_tok_s));
  EXPECT_EQ(projection.bound, "no kernel");
}

TEST(ThroughputModel, NamesTheBindingResource) {
  EXPECT_EQ(
      project(kLlama8B, reference(kLlama8B), device("h100-sxm"), requests(100, 1000, 1)).bound,
      "memory bandwidth");
  EXPECT_EQ(
      project(kLlama8B, reference(kLlama8B), device("h100-sxm"), requests(4000, 10, 64)).bound,
      "compute");
  EXPECT_EQ(project(kSmol, w4a16(kSmol), device("b200"), requests(10, 1000, 1)).bound, "launches");
}

TEST(ThroughputModel, Fp4GainOverFp8StaysWithinPublishedReports) {
  const Device b200 = device("b200");
  const Workload workload = requests(1024, 1024, 16);
  const double gain = workload_seconds(kLlama70B, fp8(kLlama70B), b200, workload) /
                      workload_seconds(kLlama70B, nvfp4(kLlama70B), b200, workload);
  EXPECT_GT(gain, 1.05);
  EXPECT_LT(gain, 1.5);
}

// Qwen3-30B-A3B: 30.5 billion parameters, 8 of 128 experts per token.
TEST(ThroughputModel, ADecodeStepReadsTheExpertsThatItsTokensPass) {
  ModelFacts moe = kLlama8B;
  moe.parameters = 30.5e9;
  moe.block_parameters = 29.9e9;
  moe.expert_parameters = 29.0e9;
  moe.expert_share = 8.0 / 128;
  LaneFacts lane = reference(moe);
  lane.expert_bytes = 2 * moe.expert_parameters;
  const Device h100 = device("h100-sxm");
  const auto weights = [&](std::int64_t concurrency) {
    return decode_step(moe, lane, h100, requests(2048, 128, concurrency)).weights;
  };
  EXPECT_NEAR(moe.active_block_parameters(), 2.7125e9, 1);
  const double bandwidth = h100.bandwidth;
  const double others = lane.read_bytes - lane.expert_bytes;
  EXPECT_NEAR(weights(1), (others + lane.expert_bytes * 8 / 128) / bandwidth, 1e-9);
  EXPECT_NEAR(weights(2), (others + lane.expert_bytes * (1 - 0.9375 * 0.9375)) / bandwidth, 1e-9);
  // Many tokens pass them all; the memory holds them all at any time.
  EXPECT_NEAR(weights(512), lane.read_bytes / bandwidth, 1e-4 * lane.read_bytes / bandwidth);
  EXPECT_GE(memory_need(moe, lane, h100, requests(2048, 128, 1)).weights, lane.expert_bytes);
}

}  // namespace
}  // namespace quantlane
