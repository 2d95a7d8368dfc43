#include "runtime/layer_walk.h"

#include <algorithm>
#include <utility>

#include "core/cancel.h"
#include "core/check.h"
#include "runtime/side_by_side.h"

namespace quantlane {
namespace {

// Tokens of one batch: enough rows to keep the products efficient.
constexpr std::int64_t kBatchTokens = 2048;
constexpr std::int64_t kKeptBytes = std::int64_t{512} << 20;  // inputs of down, both streams

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
  settled_.rows.resize(static_cast<std::size_t>(tokens_ * config.hidden_size));
  runtime.embed(tokens, settled_.rows.data());
  pass_.config = &config;
  pass_.pool = &pool;
  pass_.rope_full = &rope_full_;
  pass_.rope_windowed = &rope_windowed_;
  const std::int64_t sequences = std::max<std::int64_t>(1, kBatchTokens / chunk);
  caches_ = one_layer_caches(config, std::min(sequences, tokens_ / chunk), chunk);
  const std::int64_t batch = static_cast<std::int64_t>(caches_.size()) * chunk;
  const std::int64_t room = kKeptBytes / (8 * std::max<std::int64_t>(1, config.intermediate_size));
  kept_ = std::min(tokens_, room / batch * batch);
}

void LayerWalk::set_batch(std::int64_t first) {
  batch_ = first;
  const auto room = static_cast<std::int64_t>(caches_.size()) * chunk_;
  pass_.reserve(std::min(room, tokens_ - first));
  lay_side_by_side(pass_, caches_, chunk_);
}

void LayerWalk::load(const std::vector<float>& from, std::int64_t width,
                     std::vector<float>& buffer) const {
  std::copy_n(from.begin() + batch_ * width, pass_.tokens * width, buffer.begin());
}

void LayerWalk::store(const std::vector<float>& buffer, std::int64_t width,
                      std::vector<float>& to) const {
  std::copy_n(buffer.begin(), pass_.tokens * width, to.begin() + batch_ * width);
}

const std::vector<float>& LayerWalk::stage_inputs(const BoundLayer& layer, Stream& stream) {
  const ModelConfig& config = runtime_.config();
  if (stage_ == LayerStage::kOutput) {
    load(stream.attended, config.q_size(), pass_.attended);
    return pass_.attended;
  }
  load(stream.rows, config.hidden_size, pass_.stream);
  if (stage_ == LayerStage::kHeads) {
    attention_inputs(layer, pass_);
    return pass_.normed;
  }
  const std::int64_t width = config.intermediate_size;
  const bool down = stage_ == LayerStage::kDown && layer.experts.empty();
  if (down && static_cast<std::int64_t>(stream.gated.size()) >= (batch_ + pass_.tokens) * width) {
    load(stream.gated, width, pass_.gate);
    return pass_.gate;
  }
  feed_forward_inputs(layer, pass_);
  if (!down) return pass_.normed;
  run_gates(layer, pass_);
  // Batches come in order, so what is kept has no holes.
  if (batch_ + pass_.tokens <= kept_ &&
      static_cast<std::int64_t>(stream.gated.size()) == batch_ * width) {
    stream.gated.insert(stream.gated.end(), pass_.gate.begin(),
                        pass_.gate.begin() + pass_.tokens * width);
  }
  return pass_.gate;
}

Result<void> LayerWalk::inputs(const See& see) {
  const std::int64_t width = stage_width(runtime_.config(), stage_);
  std::vector<float> exact;
  for (std::int64_t first = 0; first < tokens_; first += pass_.tokens) {
    QUANTLANE_TRY_VOID(check_cancel("calibrating"));
    set_batch(first);
    if (parted_) {
      const auto& rows = stage_inputs(runtime_.layer(layer_), exact_);
      exact.assign(rows.begin(), rows.begin() + pass_.tokens * width);
    }
    const auto& rows = stage_inputs(own_, settled_);
    see(rows.data(), parted_ ? exact.data() : rows.data(), pass_.tokens);
  }
  return {};
}

void LayerWalk::part_ways() {
  if (parted_ || beside_ == Beside::kNothing) return;
  exact_ = settled_;
  parted_ = true;
}

void LayerWalk::settle(const Parameter& parameter, Weight weight) {
  QUANTLANE_CHECK(stage_of(parameter.role) == stage_);
  part_ways();
  matrix_of(own_, parameter).bind(std::move(weight), Arithmetic::kFloat);
}

void LayerWalk::leave_stage(const BoundLayer& layer, Stream& stream) {
  const ModelConfig& config = runtime_.config();
  stage_inputs(layer, stream);
  if (stage_ == LayerStage::kHeads) {
    run_heads(layer, 0, pass_);
    store(pass_.attended, config.q_size(), stream.attended);
    return;
  }
  if (stage_ == LayerStage::kOutput) {
    load(stream.rows, config.hidden_size, pass_.stream);
    finish_attention(layer, pass_);
  } else {
    finish_feed_forward(layer, pass_);
  }
  store(pass_.stream, config.hidden_size, stream.rows);
}

Result<void> LayerWalk::advance() {
  if (stage_ == LayerStage::kGates) {
    stage_ = LayerStage::kDown;  // its inputs are made when they are asked for
    return {};
  }
  for (Stream* stream : {&settled_, &exact_}) {
    if (stream == &exact_ && !parted_) continue;
    if (stage_ == LayerStage::kHeads)
      stream->attended.resize(static_cast<std::size_t>(tokens_ * runtime_.config().q_size()));
    for (std::int64_t first = 0; first < tokens_; first += pass_.tokens) {
      QUANTLANE_TRY_VOID(check_cancel("calibrating"));
      set_batch(first);
      leave_stage(stream == &settled_ ? own_ : runtime_.layer(layer_), *stream);
    }
  }
  if (stage_ != LayerStage::kDown) {
    stage_ = stage_ == LayerStage::kHeads ? LayerStage::kOutput : LayerStage::kGates;
    return {};
  }
  settled_.gated.clear();
  exact_.gated.clear();
  stage_ = LayerStage::kHeads;
  ++layer_;
  if (layer_ < runtime_.config().layer_count) own_ = runtime_.layer(layer_);
  return {};
}

}  // namespace quantlane
