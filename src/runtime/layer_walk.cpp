#include "runtime/layer_walk.h"

#include <algorithm>
#include <utility>

#include "core/cancel.h"
#include "core/ceil_div.h"
#include "core/check.h"
#include "runtime/experts.h"
#include "runtime/side_by_side.h"

namespace quantlane {
namespace {

// Tokens of one batch: enough rows to keep the products efficient.
constexpr std::int64_t kBatchTokens = 2048;
constexpr std::int64_t kKeptBytes = std::int64_t{512} << 20;  // inputs of down, both streams

// `own` (ascending) and, up to `least` in all, every so many of the others of [0, tokens).
std::vector<std::int64_t> topped_up(const std::vector<std::int64_t>& own, std::int64_t least,
                                    std::int64_t tokens) {
  const auto count = static_cast<std::int64_t>(own.size());
  const std::int64_t others = tokens - count;
  const std::int64_t missing = std::min(least, tokens) - count;
  if (missing <= 0) return own;
  std::vector<std::int64_t> rows;
  std::int64_t passed = 0;  // of the others
  auto next = own.begin();
  for (std::int64_t token = 0; token < tokens; ++token) {
    if (next != own.end() && *next == token) {
      rows.push_back(token);
      ++next;
    } else {
      if (passed * missing / others != (passed + 1) * missing / others) rows.push_back(token);
      ++passed;
    }
  }
  return rows;
}

}  // namespace

LayerStage stage_of(Role role) {
  if (role == Role::kAttentionOutput) return LayerStage::kOutput;
  if (role == Role::kGate || role == Role::kUp) return LayerStage::kGates;
  return role == Role::kDown ? LayerStage::kDown : LayerStage::kHeads;
}

std::int64_t stage_width(const ModelConfig& config, LayerStage stage) {
  if (stage == LayerStage::kOutput) return config.q_size();
  return stage == LayerStage::kDown ? config.intermediate_size : config.hidden_size;
}

LayerWalk::LayerWalk(const Runtime& runtime, std::span<const std::int32_t> tokens,
                     std::int64_t chunk, ThreadPool& pool, Beside beside)
    : runtime_(runtime),
      beside_(beside),
      chunk_(chunk),
      tokens_(static_cast<std::int64_t>(tokens.size())),
      own_(runtime.layer(0)),
      rope_full_(RopeTable::full(runtime.config())),
      rope_windowed_(RopeTable::windowed(runtime.config())) {
  QUANTLANE_CHECK(chunk > 0 && tokens_ > 0 && tokens_ % chunk == 0);
  const ModelConfig& config = runtime.config();
  for (Stream* stream : {&settled_, &exact_}) {
    stream->pass.config = &config;
    stream->pass.pool = &pool;
    stream->pass.rope_full = &rope_full_;
    stream->pass.rope_windowed = &rope_windowed_;
    stream->pass.coarse = true;  // far below what is being rounded, and averaged over all tokens
  }
  const std::int64_t sequences = std::max<std::int64_t>(1, kBatchTokens / chunk);
  caches_ = one_layer_caches(config, std::min(sequences, tokens_ / chunk), chunk);
  batch_tokens_ = static_cast<std::int64_t>(caches_.size()) * chunk;
  kept_ = kKeptBytes / (8 * std::max<std::int64_t>(1, config.intermediate_size) * batch_tokens_);
  settled_.batches.resize(static_cast<std::size_t>(batch_count()));
  for (std::size_t b = 0; b < settled_.batches.size(); ++b) {
    const std::size_t first = b * static_cast<std::size_t>(batch_tokens_);
    const auto ids = tokens.subspan(
        first, std::min(tokens.size() - first, static_cast<std::size_t>(batch_tokens_)));
    std::vector<float>& rows = settled_.batches[b].rows;
    rows.resize(ids.size() * static_cast<std::size_t>(config.hidden_size));
    runtime.embed(ids, rows.data());
  }
}

std::int64_t LayerWalk::batch_count() const { return ceil_div(tokens_, batch_tokens_); }

void LayerWalk::enter(Stream& stream, std::int64_t batch) {
  stream.pass.reserve(std::min(batch_tokens_, tokens_ - batch * batch_tokens_));
  lay_side_by_side(stream.pass, caches_, chunk_);
  stream.pass.stream.swap(stream.batches[static_cast<std::size_t>(batch)].rows);
}

void LayerWalk::leave(Stream& stream, std::int64_t batch) {
  stream.pass.stream.swap(stream.batches[static_cast<std::size_t>(batch)].rows);
}

const std::vector<float>& LayerWalk::stage_inputs(const BoundLayer& layer, Stream& stream,
                                                  std::int64_t batch) {
  Batch& kept = stream.batches[static_cast<std::size_t>(batch)];
  Pass& pass = stream.pass;
  if (stage_ == LayerStage::kOutput) return kept.attended;
  if (stage_ == LayerStage::kHeads) {
    attention_inputs(layer, pass);
    return pass.normed;
  }
  const bool down = stage_ == LayerStage::kDown && layer.experts.empty();
  if (down && kept.has_gated) return kept.gated;
  feed_forward_inputs(layer, pass);
  if (!down) return pass.normed;
  run_gates(layer.mlp, pass.normed.data(), pass.tokens, pass);
  if (batch >= kept_) return pass.gate;
  kept.gated.swap(pass.gate);
  kept.has_gated = true;
  return kept.gated;
}

Result<void> LayerWalk::inputs(const See& see) {
  for (std::int64_t batch = 0; batch < batch_count(); ++batch) {
    QUANTLANE_TRY_VOID(check_cancel("calibrating"));
    const auto rows_of = [&](const BoundLayer& layer, Stream& stream) {
      enter(stream, batch);
      const float* rows = stage_inputs(layer, stream, batch).data();
      leave(stream, batch);
      return rows;
    };
    const float* exact = parted_ ? rows_of(runtime_.layer(layer_), exact_) : nullptr;
    const float* settled = rows_of(own_, settled_);
    see(settled, parted_ ? exact : settled, settled_.pass.tokens);
  }
  return {};
}

Result<void> LayerWalk::route_tokens() {
  const ExpertConfig& config = runtime_.config().experts;
  routed_.resize(static_cast<std::size_t>(config.count));
  for (std::int64_t batch = 0; batch < batch_count(); ++batch) {
    QUANTLANE_TRY_VOID(check_cancel("calibrating"));
    enter(settled_, batch);
    feed_forward_inputs(own_, settled_.pass);
    const std::vector<ExpertPick> picks = route(own_, settled_.pass);
    leave(settled_, batch);
    for (std::size_t i = 0; i < picks.size(); ++i) {
      routed_[static_cast<std::size_t>(picks[i].expert)].push_back(
          batch * batch_tokens_ + static_cast<std::int64_t>(i) / config.per_token);
    }
  }
  return {};
}

Result<std::int64_t> LayerWalk::expert_inputs(std::int64_t expert, std::int64_t least,
                                              const See& see) {
  QUANTLANE_CHECK(stage_ == LayerStage::kDown && !own_.experts.empty());
  if (routed_.empty()) QUANTLANE_TRY_VOID(route_tokens());
  const auto& own = routed_[static_cast<std::size_t>(expert)];
  const std::vector<std::int64_t> rows = topped_up(own, least, tokens_);
  const std::int64_t width = runtime_.config().hidden_size;
  for (auto first = rows.begin(); first != rows.end();) {
    QUANTLANE_TRY_VOID(check_cancel("calibrating"));
    const std::int64_t batch = *first / batch_tokens_;
    const auto last = std::lower_bound(first, rows.end(), (batch + 1) * batch_tokens_);
    const std::int64_t count = last - first;
    const auto gated = [&](const BoundLayer& layer, Stream& stream) {
      Pass& pass = stream.pass;
      pass.reserve(count);
      const std::vector<float>& residual = stream.batches[static_cast<std::size_t>(batch)].rows;
      float* gathered = pass.gathered.data();
      for (auto row = first; row != last; ++row, gathered += width) {
        std::copy_n(residual.data() + (*row - batch * batch_tokens_) * width, width, gathered);
      }
      norm_rows(pass.gathered.data(), count, width, layer.feed_forward_norm,
                runtime_.config().rms_norm_eps, pass.gathered.data(), *pass.pool);
      run_gates(layer.experts[static_cast<std::size_t>(expert)], pass.gathered.data(), count, pass);
      return pass.gate.data();
    };
    const float* exact = parted_ ? gated(runtime_.layer(layer_), exact_) : nullptr;
    const float* settled = gated(own_, settled_);
    see(settled, parted_ ? exact : settled, count);
    first = last;
  }
  return static_cast<std::int64_t>(own.size());
}

void LayerWalk::part_ways() {
  if (parted_ || beside_ == Beside::kNothing) return;
  exact_.batches = settled_.batches;
  parted_ = true;
}

void LayerWalk::settle(const Parameter& parameter, Weight weight) {
  QUANTLANE_CHECK(stage_of(parameter.role) == stage_);
  part_ways();
  matrix_of(own_, parameter).bind(std::move(weight), Arithmetic::kFloat);
}

void LayerWalk::leave_stage(const BoundLayer& layer, Stream& stream, std::int64_t batch) {
  Batch& kept = stream.batches[static_cast<std::size_t>(batch)];
  Pass& pass = stream.pass;
  enter(stream, batch);
  stage_inputs(layer, stream, batch);
  switch (stage_) {
    case LayerStage::kHeads:
      run_heads(layer, 0, pass);
      kept.attended.swap(pass.attended);
      break;
    case LayerStage::kOutput:
      pass.attended.swap(kept.attended);
      finish_attention(layer, pass);
      pass.attended.swap(kept.attended);
      break;
    default:
      if (kept.has_gated) pass.gate.swap(kept.gated);
      finish_feed_forward(layer, pass);
      if (kept.has_gated) pass.gate.swap(kept.gated);
      kept.has_gated = false;
  }
  leave(stream, batch);
}

Result<void> LayerWalk::advance() {
  if (stage_ == LayerStage::kGates) {
    stage_ = LayerStage::kDown;  // its inputs are made when they are asked for
    return {};
  }
  for (Stream* stream : {&settled_, &exact_}) {
    if (stream == &exact_ && !parted_) continue;
    for (std::int64_t batch = 0; batch < batch_count(); ++batch) {
      QUANTLANE_TRY_VOID(check_cancel("calibrating"));
      leave_stage(stream == &settled_ ? own_ : runtime_.layer(layer_), *stream, batch);
    }
  }
  if (stage_ != LayerStage::kDown) {
    stage_ = stage_ == LayerStage::kHeads ? LayerStage::kOutput : LayerStage::kGates;
    return {};
  }
  stage_ = LayerStage::kHeads;
  routed_.clear();
  ++layer_;
  if (layer_ < runtime_.config().layer_count) own_ = runtime_.layer(layer_);
  return {};
}

}  // namespace quantlane
