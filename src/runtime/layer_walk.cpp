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

LayerWalk::LayerWalk(const Runtime& runtime, std::int64_t tokens, std::int64_t chunk,
                     ThreadPool& pool, Beside beside, std::uint64_t kept_bytes)
    : runtime_(runtime),
      beside_(beside),
      chunk_(chunk),
      tokens_(tokens),
      batch_tokens_(walk_batch_tokens(tokens, chunk)),
      hidden_({}),
      own_(runtime.layer(0)),
      rope_full_(RopeTable::full(runtime.config())),
      rope_windowed_(RopeTable::windowed(runtime.config())) {
  const ModelConfig& config = runtime.config();
  for (Stream* stream : {&settled_, &exact_}) {
    stream->pass.config = &config;
    stream->pass.pool = &pool;
    stream->pass.rope_full = &rope_full_;
    stream->pass.rope_windowed = &rope_windowed_;
    stream->pass.coarse = true;  // far below what is being rounded, and averaged over all tokens
  }
  gated_.resize(static_cast<std::size_t>(batch_count()));
  downed_.resize(static_cast<std::size_t>(batch_count()));
  caches_ = one_layer_caches(config, batch_tokens_ / chunk, chunk);
  const std::int64_t gated_bytes = 4 * std::max<std::int64_t>(1, config.intermediate_size);
  kept_ = static_cast<std::int64_t>(kept_bytes) / (gated_bytes * batch_tokens_);
}

Result<std::unique_ptr<LayerWalk>> LayerWalk::start(const Runtime& runtime,
                                                    std::span<const std::int32_t> tokens,
                                                    std::int64_t chunk, ThreadPool& pool,
                                                    Beside beside, const WalkMemory& memory) {
  const auto count = static_cast<std::int64_t>(tokens.size());
  QUANTLANE_CHECK(chunk > 0 && count > 0 && count % chunk == 0);
  std::unique_ptr<LayerWalk> walk(
      new LayerWalk(runtime, count, chunk, pool, beside, memory.kept_bytes));
  QUANTLANE_TRY_VOID(walk->embed(tokens, memory));
  return walk;
}

Result<void> LayerWalk::embed(std::span<const std::int32_t> tokens, const WalkMemory& memory) {
  const ModelConfig& config = runtime_.config();
  std::vector<std::size_t> sizes;
  for (int stream = 0; stream < (beside_ == Beside::kExact ? 2 : 1); ++stream) {
    const std::int64_t down = stream == 1 ? walk_down_width(config) : 0;
    for (const std::int64_t width : {config.hidden_size, config.q_size(), down}) {
      for (std::int64_t batch = 0; batch < batch_count(); ++batch)
        sizes.push_back(static_cast<std::size_t>(tokens_of(batch) * width));
    }
  }
  if (memory.spill == nullptr) {
    hidden_ = FloatStore(std::move(sizes));
  } else {
    QUANTLANE_TRY(hidden_, FloatStore::on_disk(std::move(sizes), memory.spill));
  }
  std::vector<float> rows;
  for (std::int64_t batch = 0; batch < batch_count(); ++batch) {
    const auto ids = tokens.subspan(static_cast<std::size_t>(batch * batch_tokens_),
                                    static_cast<std::size_t>(tokens_of(batch)));
    rows.resize(ids.size() * static_cast<std::size_t>(config.hidden_size));
    runtime_.embed(ids, rows.data());
    QUANTLANE_TRY_VOID(hidden_.put(place(Hidden::kRows, settled_, batch), rows));
  }
  const Checkpoint& checkpoint = runtime_.checkpoint();
  checkpoint.drop(*checkpoint.graph()->find(Role::kEmbedding, -1));
  return {};
}

std::int64_t LayerWalk::batch_count() const { return ceil_div(tokens_, batch_tokens_); }

std::int64_t LayerWalk::tokens_of(std::int64_t batch) const {
  return std::min(batch_tokens_, tokens_ - batch * batch_tokens_);
}

std::size_t LayerWalk::place(Hidden kind, const Stream& stream, std::int64_t batch) const {
  return static_cast<std::size_t>(
      (kHiddenKinds * stream.index + static_cast<std::int64_t>(kind)) * batch_count() + batch);
}

Result<const float*> LayerWalk::stage_inputs(const BoundLayer& layer, Stream& stream,
                                             std::int64_t batch) {
  Pass& pass = stream.pass;
  pass.reserve(tokens_of(batch));
  lay_side_by_side(pass, caches_, chunk_);
  if (stage_ == LayerStage::kOutput) {
    const std::size_t attended = place(Hidden::kAttended, stream, batch);
    QUANTLANE_TRY_VOID(hidden_.borrow(attended, pass.attended));
    const float* values = pass.attended.data();
    hidden_.give_back(attended, pass.attended);
    return values;
  }
  Gated& gated = gated_[static_cast<std::size_t>(batch)];
  const bool down = shows_outputs();
  const bool keeps = &stream == &settled_ && batch < kept_;
  if (down && keeps && gated.kept) return gated.values.data();
  const std::size_t rows = place(Hidden::kRows, stream, batch);
  QUANTLANE_TRY_VOID(hidden_.borrow(rows, pass.stream));
  if (stage_ == LayerStage::kHeads) {
    attention_inputs(layer, pass);
  } else {
    feed_forward_inputs(layer, pass);
  }
  hidden_.give_back(rows, pass.stream);
  if (!down) return pass.normed.data();
  run_gates(layer.mlp, pass.normed.data(), pass.tokens, pass);
  if (!keeps) return pass.gate.data();
  gated.values.swap(pass.gate);
  gated.kept = true;
  return gated.values.data();
}

bool LayerWalk::shows_outputs() const {
  return stage_ == LayerStage::kDown && own_.experts.empty();
}

Result<void> LayerWalk::run_exact_down(std::int64_t batch) {
  const BoundLayer& layer = runtime_.layer(layer_);
  QUANTLANE_TRY_VOID(stage_inputs(layer, exact_, batch));
  down_.resize(static_cast<std::size_t>(tokens_of(batch) * runtime_.config().hidden_size));
  run_down(layer, down_.data(), exact_.pass);
  return {};
}

// They are needed when the stage is left, too.
Result<const float*> LayerWalk::exact_outputs(std::int64_t batch) {
  const std::size_t downed = place(Hidden::kDowned, exact_, batch);
  if (!downed_[static_cast<std::size_t>(batch)]) {
    QUANTLANE_TRY_VOID(run_exact_down(batch));
    QUANTLANE_TRY_VOID(hidden_.put(downed, down_));
    downed_[static_cast<std::size_t>(batch)] = true;
  }
  QUANTLANE_TRY_VOID(hidden_.borrow(downed, down_));
  const float* values = down_.data();
  hidden_.give_back(downed, down_);
  return values;
}

Result<void> LayerWalk::inputs(const See& see) {
  for (std::int64_t batch = 0; batch < batch_count(); ++batch) {
    QUANTLANE_TRY_VOID(check_cancel("calibrating"));
    const float* exact = nullptr;
    if (parted_ && shows_outputs()) {
      QUANTLANE_TRY(exact, exact_outputs(batch));
    } else if (parted_) {
      QUANTLANE_TRY(exact, stage_inputs(runtime_.layer(layer_), exact_, batch));
    }
    QUANTLANE_TRY(const float* settled, stage_inputs(own_, settled_, batch));
    see(settled, parted_ ? exact : settled, tokens_of(batch));
  }
  return {};
}

Result<void> LayerWalk::route_tokens() {
  const ExpertConfig& config = runtime_.config().experts;
  routed_.resize(static_cast<std::size_t>(config.count));
  for (std::int64_t batch = 0; batch < batch_count(); ++batch) {
    QUANTLANE_TRY_VOID(check_cancel("calibrating"));
    QUANTLANE_TRY_VOID(stage_inputs(own_, settled_, batch));
    const std::vector<ExpertPick> picks = route(own_, settled_.pass);
    for (std::size_t i = 0; i < picks.size(); ++i) {
      routed_[static_cast<std::size_t>(picks[i].expert)].push_back(
          batch * batch_tokens_ + static_cast<std::int64_t>(i) / config.per_token);
    }
  }
  return {};
}

Result<std::vector<std::int64_t>> LayerWalk::expert_tokens() {
  QUANTLANE_CHECK(stage_ == LayerStage::kDown && !own_.experts.empty());
  if (routed_.empty()) QUANTLANE_TRY_VOID(route_tokens());
  std::vector<std::int64_t> counts;
  for (const auto& tokens : routed_) counts.push_back(static_cast<std::int64_t>(tokens.size()));
  return counts;
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
    const auto gated = [&](const BoundLayer& layer, Stream& stream) -> Result<const float*> {
      Pass& pass = stream.pass;
      pass.reserve(count);
      const std::size_t residual = place(Hidden::kRows, stream, batch);
      QUANTLANE_TRY_VOID(hidden_.borrow(residual, pass.stream));
      float* gathered = pass.gathered.data();
      for (auto row = first; row != last; ++row, gathered += width) {
        std::copy_n(pass.stream.data() + (*row - batch * batch_tokens_) * width, width, gathered);
      }
      hidden_.give_back(residual, pass.stream);
      norm_rows(pass.gathered.data(), count, width, layer.feed_forward_norm,
                runtime_.config().rms_norm_eps, pass.gathered.data(), *pass.pool);
      run_gates(layer.experts[static_cast<std::size_t>(expert)], pass.gathered.data(), count, pass);
      return pass.gate.data();
    };
    const float* exact = nullptr;
    if (parted_) {
      QUANTLANE_TRY(exact, gated(runtime_.layer(layer_), exact_));
    }
    QUANTLANE_TRY(const float* settled, gated(own_, settled_));
    see(settled, parted_ ? exact : settled, count);
    first = last;
  }
  return static_cast<std::int64_t>(own.size());
}

// What the streams hold at this stage is the same until it is left.
Result<void> LayerWalk::part_ways() {
  if (parted_ || !settling_ || beside_ == Beside::kNothing) return {};
  for (std::int64_t batch = 0; batch < batch_count(); ++batch) {
    for (const Hidden kind : {Hidden::kRows, Hidden::kAttended}) {
      if (kind == Hidden::kAttended && stage_ != LayerStage::kOutput) continue;
      QUANTLANE_TRY_VOID(hidden_.copy(place(kind, settled_, batch), place(kind, exact_, batch)));
    }
  }
  parted_ = true;
  return {};
}

void LayerWalk::settle(const Parameter& parameter, Weight weight) {
  QUANTLANE_CHECK(stage_of(parameter.role) == stage_);
  settling_ = true;
  matrix_of(own_, parameter).bind(std::move(weight), Arithmetic::kFloat);
}

Result<void> LayerWalk::leave_stage(const BoundLayer& layer, Stream& stream, std::int64_t batch) {
  Pass& pass = stream.pass;
  const std::size_t rows = place(Hidden::kRows, stream, batch);
  const std::size_t attended = place(Hidden::kAttended, stream, batch);
  if (&stream == &exact_ && shows_outputs()) {
    const std::size_t downed = place(Hidden::kDowned, stream, batch);
    const bool known = downed_[static_cast<std::size_t>(batch)];
    QUANTLANE_TRY_VOID(known ? hidden_.borrow(downed, down_) : run_exact_down(batch));
    downed_[static_cast<std::size_t>(batch)] = false;
    QUANTLANE_TRY_VOID(hidden_.borrow(rows, pass.stream));
    pass.reserve(tokens_of(batch));
    add_down(layer, down_.data(), pass);
    if (known) hidden_.give_back(downed, down_);
    return hidden_.put(rows, pass.stream);
  }
  QUANTLANE_TRY_VOID(stage_inputs(layer, stream, batch));
  if (stage_ == LayerStage::kHeads) {
    run_heads(layer, 0, pass);
    return hidden_.put(attended, pass.attended);
  }
  QUANTLANE_TRY_VOID(hidden_.borrow(rows, pass.stream));
  if (stage_ == LayerStage::kOutput) {
    QUANTLANE_TRY_VOID(hidden_.borrow(attended, pass.attended));
    finish_attention(layer, pass);
    hidden_.give_back(attended, pass.attended);
  } else {
    Gated& gated = gated_[static_cast<std::size_t>(batch)];
    if (gated.kept) pass.gate.swap(gated.values);
    finish_feed_forward(layer, pass);
    if (gated.kept) pass.gate.swap(gated.values);
    gated.kept = false;
  }
  return hidden_.put(rows, pass.stream);
}

Result<void> LayerWalk::advance() {
  QUANTLANE_TRY_VOID(part_ways());
  if (stage_ == LayerStage::kGates) {
    stage_ = LayerStage::kDown;  // its inputs are made when they are asked for
    return {};
  }
  for (Stream* stream : {&settled_, &exact_}) {
    if (stream == &exact_ && !parted_) continue;
    for (std::int64_t batch = 0; batch < batch_count(); ++batch) {
      QUANTLANE_TRY_VOID(check_cancel("calibrating"));
      QUANTLANE_TRY_VOID(
          leave_stage(stream == &settled_ ? own_ : runtime_.layer(layer_), *stream, batch));
    }
  }
  if (stage_ != LayerStage::kDown) {
    stage_ = stage_ == LayerStage::kHeads ? LayerStage::kOutput : LayerStage::kGates;
    return {};
  }
  stage_ = LayerStage::kHeads;
  routed_.clear();
  runtime_.checkpoint().drop_layer(layer_);
  ++layer_;
  if (layer_ < runtime_.config().layer_count) own_ = runtime_.layer(layer_);
  return {};
}

}  // namespace quantlane
