#include "api/memory_plan.h"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "api/importances.h"
#include "api/quantize_request.h"
#include "calibrate/feedback_source.h"
#include "calibrate/input_samples.h"
#include "core/check.h"
#include "core/cpu.h"
#include "core/process_memory.h"
#include "runtime/model_bytes.h"

namespace quantlane {
namespace {

constexpr std::string_view kAvailable = "available";
constexpr std::uint64_t kMiB = std::uint64_t{1} << 20;
// The program, texts, and what the allocator keeps of freed memory.
constexpr std::uint64_t kProgramBytes = 24 * kMiB;
// Of each thread: stack, panels of decoded rows, slices that are encoded.
constexpr std::uint64_t kThreadBytes = 6 * kMiB;
// Of each token of the vocabulary: the tokenizer and the tree from which it is read.
constexpr std::uint64_t kTokenBytes = 512;
// Of each matrix or vector: its names and place, what it is bound to, and the first and last of its
// pages, which it shares with others. Models of experts have tens of thousands.
constexpr std::uint64_t kParameterBytes = 8 << 10;
// Of each token of the text: its bytes and its number, and what cutting them takes.
constexpr std::uint64_t kTextBytes = 16;

std::uint64_t bytes_of(std::int64_t floats) {
  return static_cast<std::uint64_t>(floats) * sizeof(float);
}

// Values of the Linears of the largest layer.
std::uint64_t largest_layer_values(const Graph& graph) {
  std::vector<std::uint64_t> values(static_cast<std::size_t>(graph.config.layer_count));
  for (const Parameter& p : graph.parameters) {
    if (p.layer < 0 || !is_linear(p.role)) continue;
    values[static_cast<std::size_t>(p.layer)] += static_cast<std::uint64_t>(p.rows * p.cols);
  }
  return std::ranges::max(values);
}

// Of the largest Linear of a layer. Its floats stand for what slices hold on their way to codes and
// files: measured, up to 40 MiB beyond the rest of the account with a matrix of 46 MiB.
std::int64_t largest_matrix_values(const Graph& graph) {
  std::int64_t most = 0;
  for (const Parameter& p : graph.parameters) {
    if (p.layer >= 0 && is_linear(p.role)) most = std::max(most, p.rows * p.cols);
  }
  return most;
}

// Moments and error feedback of the four inputs of a layer, and what is needed to make the largest.
std::uint64_t feedback_bytes(const ModelConfig& config, LayerWalk::Beside beside) {
  constexpr std::array kStages = {LayerStage::kHeads, LayerStage::kOutput, LayerStage::kGates,
                                  LayerStage::kDown};
  const std::int64_t matrices = beside == LayerWalk::Beside::kExact ? 4 : 2;
  std::int64_t kept = 0;
  std::int64_t largest = 0;
  for (const LayerStage stage : kStages) {
    std::int64_t width = stage_width(config, stage);
    if (stage == LayerStage::kDown) {
      width = std::max(width, config.experts.intermediate_size);
    }
    // What outputs lack, and the lift: of down without experts instead of shifts.
    const bool lift = matrices == 4 && stage == LayerStage::kDown && config.experts.count == 0;
    kept += lift ? 2 * width * (width + config.hidden_size) : matrices * width * width;
    largest = std::max(largest, width);
  }
  return bytes_of(kept + 4 * largest * largest);
}

// Rows of the inputs of one batch, scaled down and rounded.
std::uint64_t moment_rows(const ModelConfig& config, std::int64_t batch) {
  const std::int64_t widest =
      std::max({config.hidden_size, config.q_size(), config.intermediate_size,
                config.experts.intermediate_size});
  return bytes_of(4 * batch * widest);
}

// A pass over the calibration text, but for the mapped weights.
std::uint64_t pass_bytes(const Graph& graph, const TokenChunks& chunks, HeadRows head_rows) {
  const ModelConfig& config = graph.config;
  const auto tokens = static_cast<std::int64_t>(chunks.tokens.size());
  const std::int64_t batch = walk_batch_tokens(tokens, chunks.chunk);
  return walk_bytes(config, tokens, chunks.chunk, 1).buffers + KvCache::bytes(config, batch) +
         bytes_of(head_row_count(head_rows, batch) * (config.vocab_size + config.hidden_size)) +
         statistics_bytes(graph);
}

// Which tokens each expert of a layer gets, and rows of one expert until they are enough for a sum.
std::uint64_t routing_bytes(const ModelConfig& config, std::int64_t tokens, std::int64_t batch) {
  if (config.experts.count == 0) return 0;
  const std::int64_t rows = 4 * (kExpertRowsAtOnce + batch) * config.experts.intermediate_size;
  return bytes_of(rows) + sizeof(std::int64_t) * static_cast<std::uint64_t>(
                                                     tokens * (2 * config.experts.per_token + 1));
}

std::uint64_t largest_sample(const Graph& graph) {
  std::uint64_t most = 0;
  for (std::int64_t layer = 0; layer < graph.config.layer_count; ++layer)
    most = std::max(most, sample_bytes(graph, layer));
  return most;
}

std::string mib(std::uint64_t bytes) { return fmt::format("{} MiB", (bytes + kMiB - 1) / kMiB); }

}  // namespace

// Sums, maxima and magnitudes, and what is made of them.
std::uint64_t statistics_bytes(const Graph& graph) {
  std::uint64_t bytes = 0;
  for (const Parameter& p : graph.parameters) {
    if (is_linear(p.role)) bytes += bytes_of(8 * p.cols) + kMagnitudeBins * sizeof(std::int64_t);
  }
  return bytes;
}

std::uint64_t program_bytes(int threads, const Graph* graph) {
  const std::uint64_t bytes =
      kProgramBytes + kThreadBytes * static_cast<std::uint64_t>(std::max(1, threads));
  if (graph == nullptr) return bytes;
  return bytes + kTokenBytes * static_cast<std::uint64_t>(graph->config.vocab_size) +
         kParameterBytes * graph->parameters.size();
}

Result<std::uint64_t> memory_limit(const std::string& spelled) {
  return parse_bytes(spelled, "--memory-limit");
}

Error too_little_memory(const MemoryRequest& request, std::uint64_t least, const Checkpoint& source,
                        std::string_view advice) {
  return make_error(ErrorCode::kResourceLimit, request.job)
      .in(source.path().string())
      .expects(fmt::format("at most {}, which --memory-limit allows", request.limit))
      .got(fmt::format("at least {}", mib(least)))
      .advise(fmt::format("--memory-limit {}MiB is the least that works; {}",
                          (least + kMiB - 1) / kMiB, advice));
}

MemoryPlan account_memory(const MemoryRequest& request, std::uint64_t limit,
                          const Checkpoint& source, const Lane& lane, const TokenChunks& chunks) {
  MemoryPlan plan;
  plan.limit = limit;
  std::uint64_t base = program_bytes(request.threads, nullptr);
  plan.least = base;
  plan.sample_bytes = plan.limit / 2;
  if (source.graph() == nullptr || chunks.tokens.empty()) {
    return plan;
  }
  const Graph& graph = *source.graph();
  base = program_bytes(request.threads, &graph) + kTextBytes * chunks.tokens.size();
  const auto tokens = static_cast<std::int64_t>(chunks.tokens.size());
  const ModelBytes model = model_bytes(source);
  const std::uint64_t layer = std::max(model.mapped_layer, model.mapped_ends);
  // One phase after another; each has the unpacked part of the model.
  const std::uint64_t pass = base + model.resident + pass_bytes(graph, chunks, request.head_rows);
  if (request.passes) {
    const std::uint64_t samples = lane.transforms.empty() ? 0 : 2 * largest_sample(graph);
    plan.least = std::max(plan.least, pass + layer + samples);
    const std::uint64_t free = plan.limit > pass + layer ? plan.limit - pass - layer : 0;
    plan.sample_bytes = std::min(plan.limit, free) / 2;
  }
  if (lane.size.any()) {  // measures all over the model
    plan.least = std::max(plan.least, pass + model.mapped + 4 * largest_layer_values(graph));
  }
  if (wants_feedback(lane)) {
    const LayerWalk::Beside beside = beside_feedback(lane);
    const std::int64_t streams = beside == LayerWalk::Beside::kExact ? 2 : 1;
    const WalkBytes walk = walk_bytes(graph.config, tokens, chunks.chunk, streams);
    const std::int64_t batch = walk_batch_tokens(tokens, chunks.chunk);
    // Settled matrices: of GGUF lanes as floats, else codes and scales.
    const std::uint64_t values = largest_layer_values(graph);
    const std::uint64_t settled = lane.is_gguf() ? 4 * values : values + values / 4;
    const std::uint64_t least =
        base + model.resident + model.mapped_layer + settled + walk.buffers +
        feedback_bytes(graph.config, beside) + moment_rows(graph.config, batch) +
        routing_bytes(graph.config, tokens, batch) + bytes_of(largest_matrix_values(graph)) +
        (request.passes ? statistics_bytes(graph) : 0);
    plan.least = std::max(plan.least, least);
    const bool fits = least + walk.hidden <= plan.limit;
    if (!fits) {
      plan.spill_folder = request.folder;
      plan.spill_bytes = walk.hidden;
      plan.notice = fmt::format("hidden states of {} tokens, {}, go to disk in {}: {} of memory",
                                tokens, mib(walk.hidden), request.folder.string(), mib(plan.limit));
    }
    const std::uint64_t used = least + (fits ? walk.hidden : 0);
    const std::uint64_t free = plan.limit > used ? plan.limit - used : 0;
    // Of what only happens to be available, the half.
    plan.walk.kept_bytes = std::min(walk.kept, request.limit == kAvailable ? free / 2 : free);
  }
  return plan;
}

// What the user allows is kept or refused; what the machine has available is no more than a
// warning, as both it and the account are estimates.
Result<MemoryPlan> plan_memory(const MemoryRequest& request, const Checkpoint& source,
                               const Lane& lane, const TokenChunks& chunks) {
  const bool asked = request.limit != kAvailable;
  std::uint64_t limit = cpu_info().available_bytes;
  if (asked) {
    QUANTLANE_TRY(limit, memory_limit(request.limit));
    return_freed_arrays();
  }
  MemoryPlan plan = account_memory(request, limit, source, lane, chunks);
  if (plan.limit == 0 || plan.least <= plan.limit) return plan;
  if (asked) {
    return fail(too_little_memory(request, plan.least, source,
                                  lane.name.empty()
                                      ? "fewer threads need less"
                                      : "fewer threads or a lane without calibration need less"));
  }
  plan.notice = fmt::format("may need {} of memory, of which {} are available now", mib(plan.least),
                            mib(plan.limit)) +
                (plan.notice.empty() ? "" : "; " + plan.notice);
  return plan;
}

}  // namespace quantlane
