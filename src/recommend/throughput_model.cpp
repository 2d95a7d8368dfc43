#include "recommend/throughput_model.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace quantlane {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kKvBandwidth = 0.9;  // of peak; slopes of published latency fits: 0.825 to 0.91

// Beside GPUs the unquantized checkpoint runs in the engine that runs GGUF files.
ComputePath engine_path(const LaneFacts& lane, const Device& device) {
  const bool gguf_engine = device.kind != DeviceKind::kGpu && lane.path == ComputePath::kBf16;
  return gguf_engine ? ComputePath::kGguf : lane.path;
}

// Fixed time of one layer's launches and synchronisations. GPUs: residual of published latencies
// of 8 billion parameters on H100, H200 and B200, 1.96 to 2.22 ms over 32 layers. CPUs launch
// nothing; threads meet about ten times per layer, 2 us each (assumed).
// GGUF engines launch more kernels per layer; 100 us with 0.75 of the bandwidth lies between the
// published M1 Max and M4 figures (0.57 and 0.86 of bandwidth without a constant).
double layer_seconds(const LaneFacts& lane, const Device& device) {
  if (device.kind == DeviceKind::kCpu) return 20e-6;
  return engine_path(lane, device) == ComputePath::kGguf ? 100e-6 : 65e-6;
}

// Share of the dense peak that prefill reaches. 16 bit: the usual 0.6 of large matrix products;
// 8 and 4 bit lose more to quantizing activations: 0.5 fits the published FP8 gains, 0.4 keeps
// FP4 within the measured 1.1 to 1.4 over FP8. Products alone on an H100 reach 0.73 (bf16), 0.62 to
// 0.70 (FP8) and, with a tuned kernel, 0.52 to 0.61 (INT8) of the peak: docs/measurements/gpu.md.
double flops_share(ComputePath path) {
  switch (path) {
    case ComputePath::kFp8:
    case ComputePath::kInt8:
      return 0.5;
    case ComputePath::kFp4:
      return 0.4;
    case ComputePath::kBf16:
    case ComputePath::kWeightOnly:
      break;
    // llama.cpp's kernels on GPUs and Apple: M1 Max and M4 decode at 0.57 and 0.86 of bandwidth,
    // prefill of the former at about a third of its peak.
    case ComputePath::kGguf:
      return 0.35;
  }
  return 0.6;
}

// Weight-only kernels against 16-bit ones, fitted to TensorRT-LLM 0.15 INT4-AWQ on H200: few rows
// read packed weights at 0.75 of bandwidth; from eight rows on the step takes 0.9 of the 16-bit
// reading time; prefill takes 1.2 times the 16-bit one.
constexpr double kPackedBandwidth = 0.75;
constexpr double kBatchedShare = 0.9;
constexpr double kDequantizingPrefill = 1.2;
constexpr double kFewRows = 4;
constexpr double kManyRows = 8;
constexpr double kGgufBandwidth = 0.75;

bool dequantizes(const LaneFacts& lane, const Device& device) {
  return lane.path == ComputePath::kWeightOnly ||
         (lane.path != ComputePath::kBf16 && lane.path != ComputePath::kGguf &&
          device.support(lane.path) == Support::kMemoryOnly);
}

// Parameters that one token is multiplied with.
double active_parameters(const ModelFacts& model) {
  return model.active_block_parameters() + model.head_parameters;
}

// Share of the experts that at least one of `rows` tokens passes, their picks being independent.
double touched_share(const ModelFacts& model, double rows) {
  return 1 - std::pow(1 - model.expert_share, rows);
}

double read_parameters(const ModelFacts& model, double rows) {
  return model.block_parameters + model.head_parameters -
         model.expert_parameters * (1 - touched_share(model, rows));
}

double read_bytes(const ModelFacts& model, const LaneFacts& lane, double rows) {
  return lane.read_bytes - lane.expert_bytes * (1 - touched_share(model, rows));
}

double weight_read_seconds(const ModelFacts& model, const LaneFacts& lane, const Device& device,
                           double rows) {
  if (engine_path(lane, device) == ComputePath::kGguf) {
    return read_bytes(model, lane, rows) / (kGgufBandwidth * device.bandwidth);
  }
  const double read = read_bytes(model, lane, rows) / device.bandwidth;
  if (!dequantizes(lane, device)) return read;
  const double packed = read / kPackedBandwidth;
  const double batched =
      std::max(packed, kBatchedShare * 2 * read_parameters(model, rows) / device.bandwidth);
  // Where engines switch kernels lies between the two measured batch sizes.
  const double share = std::clamp(
      (std::log2(rows) - std::log2(kFewRows)) / (std::log2(kManyRows) - std::log2(kFewRows)), 0.0,
      1.0);
  return packed + share * (batched - packed);
}

double flops_per_second(const LaneFacts& lane, const Device& device) {
  const bool falls_back = device.support(lane.path) != Support::kNative;
  const double share =
      flops_share(falls_back ? ComputePath::kWeightOnly : engine_path(lane, device));
  const double slower = dequantizes(lane, device) ? kDequantizingPrefill : 1;
  return share * device.peak(lane.path) / slower;
}

}  // namespace

StepTimes decode_step(const ModelFacts& model, const LaneFacts& lane, const Device& device,
                      const Workload& workload) {
  StepTimes times;
  const double rate = flops_per_second(lane, device);
  if (rate <= 0) return {.launch = kInfinity, .weights = 0, .kv = 0, .compute_bound = true};
  const auto rows = static_cast<double>(workload.concurrency);
  times.launch = layer_seconds(lane, device) * static_cast<double>(model.layers);
  const double reading = weight_read_seconds(model, lane, device, rows);
  const double multiplying = 2 * active_parameters(model) * rows / rate;
  times.weights = std::max(reading, multiplying);
  times.compute_bound = multiplying > reading;
  const double context =
      static_cast<double>(workload.prompt_tokens) + static_cast<double>(workload.output_tokens) / 2;
  times.kv = rows * context * model.kv_bytes_per_token / (kKvBandwidth * device.bandwidth);
  return times;
}

double prefill_seconds(const ModelFacts& model, const LaneFacts& lane, const Device& device,
                       const Workload& workload) {
  const double rate = flops_per_second(lane, device);
  if (rate <= 0) return kInfinity;
  const double tokens =
      static_cast<double>(workload.prompt_tokens) * static_cast<double>(workload.concurrency);
  // Every prompt token passes the blocks, only the last one of a request the head.
  const double multiplying = 2 *
                             (model.active_block_parameters() * tokens +
                              model.head_parameters * static_cast<double>(workload.concurrency)) /
                             rate;
  const double floor = layer_seconds(lane, device) * static_cast<double>(model.layers) +
                       lane.read_bytes / device.bandwidth;
  return std::max(multiplying, floor);
}

double workload_seconds(const ModelFacts& model, const LaneFacts& lane, const Device& device,
                        const Workload& workload) {
  return prefill_seconds(model, lane, device, workload) +
         decode_step(model, lane, device, workload).step() *
             static_cast<double>(workload.output_tokens);
}

Projection project(const ModelFacts& model, const LaneFacts& lane, const Device& device,
                   const Workload& workload) {
  Projection projection;
  const MemoryNeed need = memory_need(model, lane, device, workload);
  projection.fits = need.fits();
  projection.memory_bytes = need.total();
  projection.native = device.support(lane.path) == Support::kNative;
  const StepTimes step = decode_step(model, lane, device, workload);
  const double prefill = prefill_seconds(model, lane, device, workload);
  const auto rows = static_cast<double>(workload.concurrency);
  projection.decode_tok_s = rows / step.step();
  projection.prefill_tok_s = rows * static_cast<double>(workload.prompt_tokens) / prefill;
  if (!std::isfinite(prefill)) {
    projection.bound = "no kernel";
    projection.decode_tok_s = projection.prefill_tok_s = std::numeric_limits<double>::quiet_NaN();
    return projection;
  }
  const auto steps = static_cast<double>(workload.output_tokens);
  std::array<std::pair<double, const char*>, 3> shares = {
      {{(step.weights * !step.compute_bound + step.kv) * steps, "memory bandwidth"},
       {prefill + step.weights * step.compute_bound * steps, "compute"},
       {step.launch * steps, "launches"}}};
  projection.bound = std::max_element(shares.begin(), shares.end())->second;
  return projection;
}

}  // namespace quantlane
