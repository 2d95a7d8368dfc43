#include "runtime/layer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

#include "core/check.h"
#include "kernels/activation.h"
#include "kernels/ops.h"
#include "runtime/experts.h"
#include "runtime/over_tokens.h"

namespace quantlane {
namespace {

void decode_linear(const void* context, std::int64_t begin, std::int64_t count, float* rows) {
  static_cast<const BoundLinear*>(context)->decode_rows(begin, count, rows);
}

void add_bias(const BoundLinear& linear, std::int64_t tokens, float* y) {
  if (linear.bias.empty()) return;
  const std::int64_t width = linear.parameter->rows;
  for (std::int64_t t = 0; t < tokens; ++t) kernels::add(y + t * width, linear.bias.data(), width);
}

// Normed heads, rotated: x [tokens, heads, head_dim] in place.
void place_heads(float* x, std::int64_t heads, const std::vector<float>& norm,
                 const RopeTable& rope, const Pass& pass) {
  const ModelConfig& config = *pass.config;
  const std::int64_t width = heads * config.head_dim;
  const std::int64_t half = config.head_dim / 2;
  over_tokens(pass.tokens, *pass.pool, [&](std::int64_t first, std::int64_t count) {
    float* rows = x + first * width;
    if (!norm.empty()) {
      kernels::rms_norm(rows, count * heads, config.head_dim, norm.data(), config.rms_norm_eps,
                        rows);
    }
    kernels::rope(rows, count, heads, config.head_dim, rope.cos() + first * half,
                  rope.sin() + first * half);
  });
}

// Keys and values as the engine's cache holds them.
void round_for_cache(std::int64_t index, Pass& pass) {
  const ModelConfig& config = *pass.config;
  over_tokens(pass.tokens, *pass.pool, [&](std::int64_t first, std::int64_t count) {
    const std::int64_t at = first * config.kv_size();
    pass.kv->round(index, false, pass.k.data() + at, count, config.head_dim);
    pass.kv->round(index, true, pass.v.data() + at, count, config.head_dim);
  });
}

void attend(const BoundLayer& layer, std::int64_t index, Pass& pass) {
  const ModelConfig& config = *pass.config;
  const std::int64_t kv_size = config.kv_size();
  const double scale = config.attention_scale > 0
                           ? config.attention_scale
                           : 1 / std::sqrt(static_cast<double>(config.head_dim));
  for (const Pass::Piece& piece : pass.pieces) {
    float* keys = piece.cache->keys(index);
    float* values = piece.cache->values(index);
    const auto bytes = static_cast<std::size_t>(piece.tokens * kv_size) * sizeof(float);
    std::memcpy(keys + piece.start * kv_size, pass.k.data() + piece.first * kv_size, bytes);
    std::memcpy(values + piece.start * kv_size, pass.v.data() + piece.first * kv_size, bytes);
    const kernels::AttentionShape shape = {
        .tokens = piece.tokens,
        .start = piece.start,
        .heads = config.head_count,
        .kv_heads = config.kv_head_count,
        .head_dim = config.head_dim,
        .window = layer.window,
        .scale = static_cast<float>(scale),
        .softcap = static_cast<float>(config.attention_logit_softcap)};
    const std::int64_t first = piece.first * config.q_size();
    kernels::attention(shape, pass.q.data() + first, keys, values, pass.attended.data() + first,
                       *pass.pool);
  }
}

// stream += branch [tokens, D], normed first where the family does so.
void add_to_stream(float* branch, const std::vector<float>& post_norm, Pass& pass) {
  const std::int64_t width = pass.config->hidden_size;
  const double eps = pass.config->rms_norm_eps;
  over_tokens(pass.tokens, *pass.pool, [&](std::int64_t first, std::int64_t count) {
    float* rows = branch + first * width;
    if (!post_norm.empty()) {
      kernels::rms_norm(rows, count, width, post_norm.data(), eps, rows);
    }
    kernels::add(pass.stream.data() + first * width, rows, count * width);
  });
}

// pass.gate [tokens, F] = act(gate(x)) * up(x).

}  // namespace

BoundLinear& matrix_of(BoundLayer& layer, const Parameter& parameter) {
  BoundMlp& mlp = parameter.expert < 0
                      ? layer.mlp
                      : layer.experts.at(static_cast<std::size_t>(parameter.expert));
  switch (parameter.role) {
    case Role::kQuery:
      return layer.query;
    case Role::kKey:
      return layer.key;
    case Role::kValue:
      return layer.value;
    case Role::kAttentionOutput:
      return layer.output;
    case Role::kGate:
      return mlp.gate;
    case Role::kUp:
      return mlp.up;
    default:
      QUANTLANE_CHECK(parameter.role == Role::kDown);
      return mlp.down;
  }
}

void BoundLinear::bind(Weight bound, Arithmetic arithmetic) {
  weight = std::move(bound);
  input = arithmetic == Arithmetic::kEngine ? weight.engine_rounding() : weight.input_rounding();
  const BlockFormat* format = weight.block_format();
  decode_blocks = format == nullptr ? nullptr : kernels::block_decode(*format);
}

void BoundLinear::decode_rows(std::int64_t begin, std::int64_t count, float* values) const {
  if (weight.quantized() != nullptr) {
    kernels::decode_rows(*weight.quantized(), begin, count, values);
  } else if (decode_blocks != nullptr) {
    const std::int64_t blocks = weight.cols() / weight.block_format()->block_values;
    for (std::int64_t r = 0; r < count; ++r) {
      decode_blocks(weight.row_blocks(begin + r), blocks, values + r * weight.cols());
    }
    weight.apply_factor(count, values);
  } else {
    weight.decode_rows(begin, count, values);
  }
}

kernels::RowSource BoundLinear::rows() const {
  return {.decode = decode_linear,
          .context = this,
          .bf16 = weight.bf16_rows(),
          .f32 = weight.f32_rows()};
}

void Pass::reserve(std::int64_t token_count) {
  tokens = token_count;
  const auto fit = [&](std::vector<float>& buffer, std::int64_t width) {
    const auto size = static_cast<std::size_t>(token_count * width);
    if (buffer.size() < size) buffer.resize(size);
  };
  fit(stream, config->hidden_size);
  fit(normed, config->hidden_size);
  fit(q, config->q_size());
  fit(k, config->kv_size());
  fit(v, config->kv_size());
  fit(attended, config->q_size());
  const ExpertConfig& experts = config->experts;
  const std::int64_t feed_forward = std::max(config->intermediate_size, experts.intermediate_size);
  fit(gate, feed_forward);
  fit(up, feed_forward);
  if (experts.count == 0) return;
  fit(scores, experts.count);
  fit(gathered, config->hidden_size);
  fit(mixed, config->hidden_size);
}

void norm_rows(const float* x, std::int64_t tokens, std::int64_t width,
               const std::vector<float>& weight, double eps, float* y, ThreadPool& pool) {
  over_tokens(tokens, pool, [&](std::int64_t first, std::int64_t count) {
    kernels::rms_norm(x + first * width, count, width, weight.data(), eps, y + first * width);
  });
}

namespace {

const float* rounded_inputs(const ActivationScheme& scheme, const float* x, std::int64_t tokens,
                            std::int64_t width, Pass& pass) {
  pass.rounded.resize(std::max(pass.rounded.size(), static_cast<std::size_t>(tokens * width)));
  over_tokens(tokens, *pass.pool, [&](std::int64_t first, std::int64_t count) {
    float* rows = pass.rounded.data() + first * width;
    std::copy_n(x + first * width, count * width, rows);
    kernels::round_activations(scheme, rows, count, width);
  });
  return pass.rounded.data();
}

}  // namespace

void multiply(std::span<const Product> products, const float* x, std::int64_t tokens, Pass& pass) {
  if (pass.observer != nullptr) {
    for (const Product& product : products)
      pass.observer->observe(*product.linear->parameter, x, tokens);
  }
  // Neighbours whose inputs are rounded alike go together.
  while (!products.empty()) {
    const BoundLinear& first = *products.front().linear;
    const auto other = std::ranges::find_if(
        products, [&](const Product& product) { return product.linear->input != first.input; });
    const std::int64_t width = first.parameter->cols;
    const float* input = first.input ? rounded_inputs(*first.input, x, tokens, width, pass) : x;
    std::vector<kernels::GemmPart> parts;
    for (auto product = products.begin(); product != other; ++product) {
      const BoundLinear& linear = *product->linear;
      parts.push_back({.w = linear.rows(), .n = linear.parameter->rows, .y = product->y});
    }
    if (pass.coarse) {
      kernels::gemm_rounded(input, tokens, width, parts, *pass.pool);
    } else {
      kernels::gemm(input, tokens, width, parts, *pass.pool);
    }
    for (auto product = products.begin(); product != other; ++product)
      add_bias(*product->linear, tokens, product->y);
    products = products.subspan(parts.size());
  }
}

void attention_inputs(const BoundLayer& layer, Pass& pass) {
  const ModelConfig& config = *pass.config;
  norm_rows(pass.stream.data(), pass.tokens, config.hidden_size, layer.attention_norm,
            config.rms_norm_eps, pass.normed.data(), *pass.pool);
}

void run_heads(const BoundLayer& layer, std::int64_t index, Pass& pass) {
  const ModelConfig& config = *pass.config;
  const Product products[] = {
      {&layer.query, pass.q.data()}, {&layer.key, pass.k.data()}, {&layer.value, pass.v.data()}};
  multiply(products, pass.normed.data(), pass.tokens, pass);
  const RopeTable& rope = layer.window > 0 ? *pass.rope_windowed : *pass.rope_full;
  place_heads(pass.q.data(), config.head_count, layer.query_norm, rope, pass);
  place_heads(pass.k.data(), config.kv_head_count, layer.key_norm, rope, pass);
  if (pass.kv != nullptr) round_for_cache(index, pass);
  attend(layer, index, pass);
}

void finish_attention(const BoundLayer& layer, Pass& pass) {
  const Product output[] = {{&layer.output, pass.normed.data()}};
  multiply(output, pass.attended.data(), pass.tokens, pass);
  add_to_stream(pass.normed.data(), layer.post_attention_norm, pass);
}

void feed_forward_inputs(const BoundLayer& layer, Pass& pass) {
  const ModelConfig& config = *pass.config;
  norm_rows(pass.stream.data(), pass.tokens, config.hidden_size, layer.feed_forward_norm,
            config.rms_norm_eps, pass.normed.data(), *pass.pool);
}

void run_gates(const BoundMlp& mlp, const float* x, std::int64_t tokens, Pass& pass) {
  const Product products[] = {{&mlp.gate, pass.gate.data()}, {&mlp.up, pass.up.data()}};
  multiply(products, x, tokens, pass);
  const auto act_multiply = pass.config->activation == Activation::kSilu
                                ? kernels::silu_multiply
                                : kernels::gelu_tanh_multiply;
  const std::int64_t width = mlp.gate.parameter->rows;
  over_tokens(tokens, *pass.pool, [&](std::int64_t first, std::int64_t count) {
    const std::int64_t at = first * width;
    act_multiply(pass.gate.data() + at, pass.up.data() + at, count * width);
  });
}

void run_down(const BoundLayer& layer, float* y, Pass& pass) {
  BoundLinear down = layer.mlp.down;
  down.bias.clear();
  const Product product[] = {{&down, y}};
  multiply(product, pass.gate.data(), pass.tokens, pass);
}

void add_down(const BoundLayer& layer, float* y, Pass& pass) {
  add_bias(layer.mlp.down, pass.tokens, y);
  add_to_stream(y, layer.post_feed_forward_norm, pass);
}

void finish_feed_forward(const BoundLayer& layer, Pass& pass) {
  if (layer.experts.empty()) {
    const Product down[] = {{&layer.mlp.down, pass.normed.data()}};
    multiply(down, pass.gate.data(), pass.tokens, pass);
  } else {
    run_experts(layer, pass);
  }
  add_to_stream(pass.normed.data(), layer.post_feed_forward_norm, pass);
}

void run_mlp(const BoundMlp& mlp, const float* x, std::int64_t tokens, float* y, Pass& pass) {
  run_gates(mlp, x, tokens, pass);
  const Product down[] = {{&mlp.down, y}};
  multiply(down, pass.gate.data(), tokens, pass);
}

void run_layer(const BoundLayer& layer, std::int64_t index, Pass& pass) {
  attention_inputs(layer, pass);
  run_heads(layer, index, pass);
  finish_attention(layer, pass);
  feed_forward_inputs(layer, pass);
  if (layer.experts.empty()) run_gates(layer.mlp, pass.normed.data(), pass.tokens, pass);
  finish_feed_forward(layer, pass);
}

}  // namespace quantlane
