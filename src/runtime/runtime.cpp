#include "runtime/runtime.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "core/cancel.h"
#include "core/check.h"
#include "core/cpu.h"
#include "kernels/ops.h"
#include "runtime/layer.h"
#include "runtime/model_bytes.h"

namespace quantlane {

struct Runtime::State {
  std::shared_ptr<const Checkpoint> checkpoint;
  const ModelConfig* config = nullptr;
  Residency residency = Residency::kWhole;
  BoundLinear embedding;
  BoundLinear head;  // the embedding's weight when tied
  std::vector<BoundLayer> layers;
  std::vector<float> final_norm;
  RopeTable rope_full;
  RopeTable rope_windowed;
  KvRounding kv;
  Pass pass;
  std::vector<float> wanted;  // final rows [wanted, D]

  explicit State(std::shared_ptr<const Checkpoint> opened)
      : checkpoint(std::move(opened)),
        config(&checkpoint->graph()->config),
        rope_full(RopeTable::full(*config)),
        rope_windowed(RopeTable::windowed(*config)) {}
};

namespace {

constexpr std::int64_t kShortPass = 512;  // tokens whose buffers must fit beside the weights

// Bytes that binding the parameters and a short pass will touch.
std::uint64_t needed_bytes(const Checkpoint& checkpoint, Residency residency) {
  const ModelConfig& c = checkpoint.graph()->config;
  const ModelBytes model = model_bytes(checkpoint);
  std::uint64_t bytes = model.resident + (residency == Residency::kWhole
                                              ? model.mapped
                                              : std::max(model.mapped_layer, model.mapped_ends));
  std::int64_t width = 2 * c.hidden_size + 2 * c.q_size() + 2 * c.kv_size() +
                       2 * std::max(c.intermediate_size, c.experts.intermediate_size);
  if (c.experts.count > 0) width += 2 * c.hidden_size + c.experts.count;
  bytes += sizeof(float) * static_cast<std::uint64_t>(kShortPass * width + c.vocab_size);
  return bytes + KvCache::bytes(c, kShortPass);
}

Result<void> check_memory(const Checkpoint& checkpoint, std::uint64_t limit, Residency residency) {
  if (limit == 0) limit = cpu_info().available_bytes;
  const std::uint64_t needed = needed_bytes(checkpoint, residency);
  if (limit == 0 || needed <= limit) return {};
  constexpr double kMiB = 1 << 20;
  return fail(
      make_error(ErrorCode::kResourceLimit, "loading a model")
          .in(checkpoint.path().string())
          .expects(fmt::format("at most {:.0f} MiB", static_cast<double>(limit) / kMiB))
          .got(fmt::format("{:.0f} MiB for the weights and a pass of {} tokens",
                           static_cast<double>(needed) / kMiB, kShortPass))
          .advise("use a smaller or a quantized checkpoint, or a machine with more memory"));
}

// Binds parameters of one checkpoint by role.
class Binder {
 public:
  Binder(const Checkpoint& checkpoint, Arithmetic arithmetic)
      : checkpoint_(checkpoint), arithmetic_(arithmetic) {}

  Result<BoundLinear> linear(Role role, std::int64_t layer, std::optional<Role> bias = std::nullopt,
                             std::int64_t expert = -1) const {
    BoundLinear bound;
    bound.parameter = checkpoint_.graph()->find(role, layer, expert);
    QUANTLANE_CHECK(bound.parameter != nullptr);
    QUANTLANE_TRY(Weight weight, checkpoint_.weight(*bound.parameter));
    bound.bind(std::move(weight), arithmetic_);
    if (bias) {
      QUANTLANE_TRY(bound.bias, vector(*bias, layer));
    }
    return bound;
  }

  // The values of a vector, empty where the model has none; norm weights as they are applied.
  Result<std::vector<float>> vector(Role role, std::int64_t layer) const {
    const Parameter* parameter = checkpoint_.graph()->find(role, layer);
    if (parameter == nullptr) return std::vector<float>{};
    QUANTLANE_TRY(const Weight weight, checkpoint_.weight(*parameter));
    std::vector<float> values(static_cast<std::size_t>(parameter->cols));
    weight.decode_rows(0, 1, values.data());
    const bool norm = role >= Role::kAttentionNorm && role <= Role::kFinalNorm;
    if (norm && checkpoint_.graph()->config.norm_plus_one) {
      for (float& value : values) value += 1;
    }
    return values;
  }

  Result<BoundLayer> layer(std::int64_t i) const {
    BoundLayer bound;
    bound.window = checkpoint_.graph()->config.window(i);
    QUANTLANE_TRY(bound.query, linear(Role::kQuery, i, Role::kQueryBias));
    QUANTLANE_TRY(bound.key, linear(Role::kKey, i, Role::kKeyBias));
    QUANTLANE_TRY(bound.value, linear(Role::kValue, i, Role::kValueBias));
    QUANTLANE_TRY(bound.output, linear(Role::kAttentionOutput, i, Role::kAttentionOutputBias));
    QUANTLANE_TRY_VOID(feed_forward(i, bound));
    QUANTLANE_TRY(bound.attention_norm, vector(Role::kAttentionNorm, i));
    QUANTLANE_TRY(bound.feed_forward_norm, vector(Role::kFeedForwardNorm, i));
    QUANTLANE_TRY(bound.query_norm, vector(Role::kQueryNorm, i));
    QUANTLANE_TRY(bound.key_norm, vector(Role::kKeyNorm, i));
    QUANTLANE_TRY(bound.post_attention_norm, vector(Role::kPostAttentionNorm, i));
    QUANTLANE_TRY(bound.post_feed_forward_norm, vector(Role::kPostFeedForwardNorm, i));
    return bound;
  }

 private:
  Result<BoundMlp> mlp(std::int64_t layer, std::int64_t expert) const {
    BoundMlp bound;
    QUANTLANE_TRY(bound.gate, linear(Role::kGate, layer, std::nullopt, expert));
    QUANTLANE_TRY(bound.up, linear(Role::kUp, layer, std::nullopt, expert));
    QUANTLANE_TRY(bound.down, linear(Role::kDown, layer, std::nullopt, expert));
    return bound;
  }

  Result<void> feed_forward(std::int64_t layer, BoundLayer& bound) const {
    const ModelConfig& config = checkpoint_.graph()->config;
    if (!config.is_sparse(layer)) {
      QUANTLANE_TRY(bound.mlp, mlp(layer, -1));
      return {};
    }
    QUANTLANE_TRY(bound.router, linear(Role::kRouter, layer));
    for (std::int64_t e = 0; e < config.experts.count; ++e) {
      QUANTLANE_TRY(BoundMlp expert, mlp(layer, e));
      bound.experts.push_back(std::move(expert));
    }
    return {};
  }

  const Checkpoint& checkpoint_;
  Arithmetic arithmetic_;
};

Error bad_request(std::size_t segment) {
  return invalid(fmt::format("running the model on segment {}", segment));
}

Result<void> check_segment(const Segment& segment, std::size_t index, const ModelConfig& config) {
  const auto tokens = static_cast<std::int64_t>(segment.tokens.size());
  const KvCache& cache = *segment.cache;
  if (cache.kv_size() != config.kv_size() || cache.layer_count() != config.layer_count) {
    return fail(bad_request(index).expects("a cache made for this model"));
  }
  if (tokens > cache.capacity() - cache.length()) {
    return fail(bad_request(index)
                    .expects(fmt::format("at most {} more tokens in the cache",
                                         cache.capacity() - cache.length()))
                    .got(fmt::format("{} tokens", tokens)));
  }
  if (segment.logits_from < 0 || segment.logits_from > tokens) {
    return fail(bad_request(index)
                    .expects(fmt::format("logits_from within 0..{}", tokens))
                    .got(std::to_string(segment.logits_from)));
  }
  for (std::size_t i = 0; i < segment.tokens.size(); ++i) {
    if (segment.tokens[i] >= 0 && segment.tokens[i] < config.vocab_size) continue;
    return fail(bad_request(index)
                    .expects(fmt::format("token ids within 0..{}", config.vocab_size - 1))
                    .got(fmt::format("id {} at index {}", segment.tokens[i], i))
                    .advise("the tokenizer does not belong to this model"));
  }
  return {};
}

Result<void> check_segments(std::span<const Segment> segments, const ModelConfig& config) {
  std::vector<const KvCache*> caches;
  for (std::size_t i = 0; i < segments.size(); ++i) {
    QUANTLANE_CHECK(segments[i].cache != nullptr);
    QUANTLANE_TRY_VOID(check_segment(segments[i], i, config));
    caches.push_back(segments[i].cache);
  }
  std::ranges::sort(caches);
  QUANTLANE_CHECK(std::ranges::adjacent_find(caches) == caches.end());
  return {};
}

// Lays the segments side by side; returns the position of every token.
std::vector<std::int64_t> lay_out(std::span<const Segment> segments, Pass& pass) {
  std::vector<std::int64_t> positions;
  pass.pieces.clear();
  for (const Segment& segment : segments) {
    const auto tokens = static_cast<std::int64_t>(segment.tokens.size());
    if (tokens == 0) continue;
    pass.pieces.push_back({.cache = segment.cache,
                           .first = static_cast<std::int64_t>(positions.size()),
                           .tokens = tokens,
                           .start = segment.cache->length()});
    for (std::int64_t t = 0; t < tokens; ++t) positions.push_back(segment.cache->length() + t);
  }
  return positions;
}

// The rows of the stream whose logits are wanted, in order; returns how many.
std::int64_t gather_wanted(std::span<const Segment> segments, const Pass& pass,
                           std::vector<float>& wanted) {
  const std::int64_t width = pass.config->hidden_size;
  const float* row = pass.stream.data();
  wanted.clear();
  for (const Segment& segment : segments) {
    const auto tokens = static_cast<std::int64_t>(segment.tokens.size());
    wanted.insert(wanted.end(), row + segment.logits_from * width, row + tokens * width);
    row += tokens * width;
  }
  return static_cast<std::int64_t>(wanted.size()) / width;
}

}  // namespace

Runtime::Runtime() = default;
Runtime::~Runtime() = default;
const Checkpoint& Runtime::checkpoint() const { return *state_->checkpoint; }
const ModelConfig& Runtime::config() const { return *state_->config; }
const BoundLayer& Runtime::layer(std::int64_t index) const {
  return state_->layers[static_cast<std::size_t>(index)];
}

void Runtime::embed(std::span<const std::int32_t> tokens, float* rows) const {
  embed(tokens, state_->embedding, rows);
}

void Runtime::embed(std::span<const std::int32_t> tokens, const BoundLinear& embedding,
                    float* rows) const {
  const std::int64_t width = state_->config->hidden_size;
  const auto scale = static_cast<float>(state_->config->embedding_scale);
  for (const std::int32_t token : tokens) {
    embedding.decode_rows(token, 1, rows);
    if (scale != 1) {
      for (std::int64_t i = 0; i < width; ++i) rows[i] *= scale;
    }
    rows += width;
  }
}
KvRounding& Runtime::kv() { return state_->kv; }
const BoundLinear& Runtime::head() const { return state_->head; }

void Runtime::finish(float* rows, std::int64_t count, const BoundLinear& head, Pass& pass,
                     std::vector<float>& logits) const {
  const ModelConfig& config = *state_->config;
  logits.resize(static_cast<std::size_t>(count * config.vocab_size));
  if (count == 0) return;
  norm_rows(rows, count, config.hidden_size, state_->final_norm, config.rms_norm_eps, rows,
            *pass.pool);
  const Product product[] = {{&head, logits.data()}};
  multiply(product, rows, count, pass);
  if (config.final_logit_softcap > 0) {
    const auto cap = static_cast<float>(config.final_logit_softcap);
    for (float& logit : logits) logit = cap * std::tanh(logit / cap);
  }
}

void Runtime::logits_of(float* rows, std::int64_t count, const BoundLinear& head, ThreadPool& pool,
                        std::vector<float>& logits) const {
  Pass pass;
  pass.config = state_->config;
  pass.pool = &pool;
  finish(rows, count, head, pass, logits);
}

void Runtime::drop_pages(std::int64_t layer) const {
  if (state_->residency == Residency::kLayers) state_->checkpoint->drop_layer(layer);
}

Result<std::unique_ptr<Runtime>> Runtime::load_by_layers(
    std::shared_ptr<const Checkpoint> checkpoint) {
  return load(std::move(checkpoint), Arithmetic::kFloat, 0, Residency::kLayers);
}

Result<std::unique_ptr<Runtime>> Runtime::load(std::shared_ptr<const Checkpoint> checkpoint,
                                               Arithmetic arithmetic, std::uint64_t memory_bytes,
                                               Residency residency) {
  if (checkpoint->graph() == nullptr) {
    return fail(unsupported("loading a model")
                    .in(checkpoint->path().string())
                    .expects("one of the architectures " + supported_architectures()));
  }
  QUANTLANE_TRY_VOID(check_memory(*checkpoint, memory_bytes, residency));
  auto runtime = std::unique_ptr<Runtime>(new Runtime());
  runtime->state_ = std::make_unique<State>(std::move(checkpoint));
  State& state = *runtime->state_;
  state.residency = residency;
  QUANTLANE_TRY(state.kv, state.checkpoint->kv_rounding());
  const Binder binder(*state.checkpoint, arithmetic);
  QUANTLANE_TRY(state.embedding, binder.linear(Role::kEmbedding, -1));
  const bool tied = state.config->tied_embeddings;
  QUANTLANE_TRY(state.head, binder.linear(tied ? Role::kEmbedding : Role::kHead, -1));
  QUANTLANE_TRY(state.final_norm, binder.vector(Role::kFinalNorm, -1));
  for (std::int64_t i = 0; i < state.config->layer_count; ++i) {
    QUANTLANE_TRY(BoundLayer layer, binder.layer(i));
    state.layers.push_back(std::move(layer));
    runtime->drop_pages(i);  // unpacking has read them
  }
  return runtime;
}

Result<void> Runtime::forward(std::span<const Segment> segments, ThreadPool& pool,
                              std::vector<float>& logits, LinearObserver* observer) {
  State& state = *state_;
  const ModelConfig& config = *state.config;
  QUANTLANE_TRY_VOID(check_segments(segments, config));
  Pass& pass = state.pass;
  pass.config = &config;
  pass.pool = &pool;
  pass.observer = observer;
  pass.kv = state.kv.any() ? &state.kv : nullptr;
  pass.rope_full = &state.rope_full;
  pass.rope_windowed = &state.rope_windowed;
  const auto positions = lay_out(segments, pass);
  if (positions.empty()) {
    logits.clear();
    return {};
  }
  pass.reserve(static_cast<std::int64_t>(positions.size()));
  state.rope_full.select(positions);
  state.rope_windowed.select(positions);
  float* row = pass.stream.data();
  for (const Segment& segment : segments) {
    embed(segment.tokens, row);
    row += static_cast<std::int64_t>(segment.tokens.size()) * config.hidden_size;
  }
  for (std::size_t i = 0; i < state.layers.size(); ++i) {
    QUANTLANE_TRY_VOID(check_cancel("running the model"));
    run_layer(state.layers[i], static_cast<std::int64_t>(i), pass);
    drop_pages(static_cast<std::int64_t>(i));
  }
  for (const Pass::Piece& piece : pass.pieces) piece.cache->length_ += piece.tokens;
  const std::int64_t rows = gather_wanted(segments, pass, state.wanted);
  finish(state.wanted.data(), rows, state.head, pass, logits);
  drop_pages(-1);
  return {};
}

}  // namespace quantlane
