#include "quantize/gguf/type_options.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "core/cancel.h"
#include "core/ceil_div.h"
#include "core/check.h"
#include "core/evenly_spaced.h"
#include "kernels/ops.h"
#include "quantize/gguf/layer_losses.h"
#include "runtime/residual_pass.h"

namespace quantlane {
namespace {

// From few bits to many; types that are never the best of their size are left out.
constexpr std::array<std::string_view, 15> kTypes = {
    "iq2_xxs", "iq2_xs", "iq2_s", "q2_k", "iq3_xxs", "iq3_s", "q3_k", "iq4_xs",
    "iq4_nl",  "q4_k",   "q5_0",  "q5_k", "q5_1",    "q6_k",  "q8_0"};
// Below these bits per weight a type is poor without importances.
constexpr double kNeedsImportance = 3.3;
// Errors of this size are small enough for squares and large enough to stand out.
constexpr double kProbeBits = 4.5;
constexpr std::int64_t kSequences = 4;
constexpr std::int64_t kSequenceTokens = 256;
constexpr std::int64_t kSampledRows = 64;

// Feedback would take a calibration of its own; searched scales order the types alike.
const Algorithm& search_algorithm() { return *algorithm_by_name("weighted"); }

const BlockFormat* probe_of(const MatrixOptions& matrix) {
  return *std::ranges::min_element(matrix.types, {}, [](const BlockFormat* type) {
    return std::abs(type->bits_per_weight() - kProbeBits);
  });
}

// sum over sampled rows of h (w' - w)^2, for all rows; h = importance of the column, else 1.
double weighted_error(const Weight& weight, const BlockFormat& type, const Algorithm& algorithm,
                      const std::vector<float>& importance) {
  const std::int64_t cols = weight.cols();
  const auto sample = evenly_spaced(weight.rows(), kSampledRows);
  std::vector<float> row(static_cast<std::size_t>(cols));
  std::vector<float> back(row.size());
  std::vector<std::byte> blocks(static_cast<std::size_t>(type.row_bytes(cols)));
  double sum = 0;
  for (const std::int64_t r : sample) {
    weight.decode_rows(r, 1, row.data());
    algorithm.encode(type, row.data(), 1, cols, {.importance = importance}, blocks.data());
    type.decode(blocks.data(), cols / type.block_values, back.data());
    for (std::size_t k = 0; k < row.size(); ++k) {
      const double error = static_cast<double>(back[k]) - static_cast<double>(row[k]);
      sum += (importance.empty() ? 1.0 : static_cast<double>(importance[k])) * error * error;
    }
  }
  return sum * static_cast<double>(weight.rows()) / static_cast<double>(sample.size());
}

// All rows in the type and back.
Weight rounded(const Weight& weight, const BlockFormat& type, const Algorithm& algorithm,
               const std::vector<float>& importance, ThreadPool& pool) {
  constexpr std::int64_t kRowsPerTask = 32;
  const std::int64_t cols = weight.cols();
  auto values =
      std::make_shared<std::vector<float>>(static_cast<std::size_t>(weight.rows() * cols));
  pool.parallel_for(ceil_div(weight.rows(), kRowsPerTask), [&](std::int64_t task, int) {
    const std::int64_t first = task * kRowsPerTask;
    const std::int64_t count = std::min(kRowsPerTask, weight.rows() - first);
    float* rows = values->data() + first * cols;
    weight.decode_rows(first, count, rows);
    std::vector<std::byte> blocks(static_cast<std::size_t>(count * type.row_bytes(cols)));
    algorithm.encode(type, rows, count, cols, {.importance = importance}, blocks.data());
    type.decode(blocks.data(), count * cols / type.block_values, rows);
  });
  return {std::move(values), weight.rows(), cols};
}

double squared_distance(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    sum += difference * difference;
  }
  return sum;
}

// What the matrices of a layer change when they are in their probe types.
struct LayerProbe {
  std::vector<std::pair<MatrixOptions*, double>> alone;  // the stream behind the layer, each alone
  std::optional<double> loss_per_change;                 // of all together, where measured
};

class Prober {
 public:
  Prober(const QuantizeJob& job, const GgufPlan& plan, std::vector<MatrixOptions> matrices,
         const Runtime& runtime, const TokenChunks& chunks, ThreadPool& pool, Progress& progress)
      : job_(job),
        plan_(plan),
        runtime_(runtime),
        pool_(pool),
        progress_(progress),
        algorithm_(search_algorithm()),
        chunk_(std::min(chunks.chunk, kSequenceTokens)),
        sequences_(std::min(chunks.count(), kSequences)),
        pass_(runtime, sequences_, chunk_, pool),
        matrices_(std::move(matrices)) {
    for (std::int64_t i = 0; i < sequences_; ++i) {
      const auto tokens = chunks[i * chunks.count() / sequences_];
      tokens_.insert(tokens_.end(), tokens.begin(), tokens.begin() + chunk_);
    }
  }

  Result<std::vector<MatrixOptions>> run() {
    progress_.begin("sensitivity", matrices_.size(), "matrices");
    QUANTLANE_TRY_VOID(run_exact());
    const std::int64_t layers = runtime_.config().layer_count;
    std::vector<std::vector<std::pair<MatrixOptions*, double>>> changes;
    std::vector<std::optional<double>> measured;
    for (std::int64_t layer = 0; layer < layers; ++layer) {
      QUANTLANE_TRY_VOID(check_cancel("measuring sensitivities"));
      QUANTLANE_TRY(LayerProbe probe, probe_layer(layer, is_measured_layer(layer, layers)));
      changes.push_back(std::move(probe.alone));
      measured.push_back(probe.loss_per_change);
    }
    const std::vector<double> losses = fill_between(measured);
    for (std::size_t layer = 0; layer < losses.size(); ++layer) {
      for (const auto& [matrix, change] : changes[layer]) {
        QUANTLANE_TRY_VOID(set_options(*matrix, losses[layer] * change));
      }
    }
    QUANTLANE_TRY_VOID(probe_ends());
    progress_.end();
    return std::move(matrices_);
  }

 private:
  [[nodiscard]] const std::vector<const Parameter*>& parameters(const MatrixOptions& matrix) const {
    return plan_.items[matrix.item].parameters;
  }
  [[nodiscard]] std::vector<float> importance(const Parameter& p) const {
    return importance_for(job_, &algorithm_, p.module(), p.cols);
  }

  // The stream before each layer and behind the last, and the logits.
  Result<void> run_exact() {
    const std::int64_t layers = runtime_.config().layer_count;
    std::vector<float> rows(tokens_.size() *
                            static_cast<std::size_t>(runtime_.config().hidden_size));
    runtime_.embed(tokens_, rows.data());
    for (std::int64_t layer = 0; layer < layers; ++layer) {
      QUANTLANE_TRY_VOID(check_cancel("measuring sensitivities"));
      streams_.push_back(rows);
      pass_.run(runtime_.layer(layer), rows);
    }
    streams_.push_back(rows);
    logits_ = logits(rows, runtime_.head());
    const std::int64_t vocab = runtime_.config().vocab_size;
    lse_.resize(logits_.size() / static_cast<std::size_t>(vocab));
    pool_.parallel_for(static_cast<std::int64_t>(lse_.size()), [&](std::int64_t r, int) {
      lse_[static_cast<std::size_t>(r)] = kernels::log_sum_exp(logits_.data() + r * vocab, vocab);
    });
    return {};
  }

  // Of the second half of each sequence.
  std::vector<float> logits(const std::vector<float>& rows, const BoundLinear& head) {
    const std::int64_t width = runtime_.config().hidden_size;
    std::vector<float> scored;
    for (std::int64_t i = 0; i < sequences_; ++i) {
      const auto begin = rows.begin() + (i * chunk_ + chunk_ / 2) * width;
      scored.insert(scored.end(), begin, rows.begin() + (i + 1) * chunk_ * width);
    }
    std::vector<float> result;
    runtime_.logits_of(scored.data(), static_cast<std::int64_t>(scored.size()) / width, head, pool_,
                       result);
    return result;
  }

  // Mean KLD of the output of a changed model whose stream at layer `layer` is `rows`.
  Result<double> loss_from(std::int64_t layer, std::vector<float> rows, const BoundLinear& head) {
    for (; layer < runtime_.config().layer_count; ++layer) {
      QUANTLANE_TRY_VOID(check_cancel("measuring sensitivities"));
      pass_.run(runtime_.layer(layer), rows);
    }
    const std::vector<float> changed = logits(rows, head);
    const std::int64_t vocab = runtime_.config().vocab_size;
    std::vector<double> kld(lse_.size());
    pool_.parallel_for(static_cast<std::int64_t>(kld.size()), [&](std::int64_t r, int) {
      const float* q = changed.data() + r * vocab;
      kld[static_cast<std::size_t>(r)] =
          kernels::kl_divergence(logits_.data() + r * vocab, lse_[static_cast<std::size_t>(r)], q,
                                 kernels::log_sum_exp(q, vocab), vocab);
    });
    double sum = 0;
    for (const double value : kld) sum += value;
    return sum / static_cast<double>(kld.size());
  }

  // The matrices of the item in its probe type, put into `layer`.
  Result<void> round_into(const MatrixOptions& matrix, BoundLayer& layer) {
    for (const Parameter* p : parameters(matrix)) {
      QUANTLANE_TRY(const Weight weight, job_.source.weight(*p));
      matrix_of(layer, *p).bind(
          rounded(weight, *probe_of(matrix), algorithm_, importance(*p), pool_),
          Arithmetic::kFloat);
    }
    return {};
  }

  Result<LayerProbe> probe_layer(std::int64_t layer, bool measured) {
    const auto at = static_cast<std::size_t>(layer);
    LayerProbe probe;
    BoundLayer all = runtime_.layer(layer);
    for (MatrixOptions& matrix : matrices_) {
      if (parameters(matrix).front()->layer != layer) continue;
      BoundLayer one = runtime_.layer(layer);
      QUANTLANE_TRY_VOID(round_into(matrix, one));
      for (const Parameter* p : parameters(matrix)) {
        matrix_of(all, *p) = matrix_of(one, *p);
      }
      std::vector<float> rows = streams_[at];
      pass_.run(one, rows);
      probe.alone.emplace_back(&matrix, squared_distance(rows, streams_[at + 1]));
      progress_.update(++done_);
    }
    if (!measured) return probe;
    std::vector<float> rows = streams_[at];
    pass_.run(all, rows);
    const double change = squared_distance(rows, streams_[at + 1]);
    QUANTLANE_TRY(const double loss, loss_from(layer + 1, std::move(rows), runtime_.head()));
    probe.loss_per_change = change > 0 ? loss / change : 0;
    return probe;
  }

  // Embedding and head; one matrix where they are tied.
  Result<void> probe_ends() {
    for (MatrixOptions& matrix : matrices_) {
      const Parameter& p = *parameters(matrix).front();
      if (p.layer >= 0) continue;
      QUANTLANE_TRY(const Weight weight, job_.source.weight(p));
      BoundLinear changed;
      changed.parameter = &p;
      changed.bind(rounded(weight, *probe_of(matrix), algorithm_, importance(p), pool_),
                   Arithmetic::kFloat);
      const bool is_head = p.role == runtime_.head().parameter->role;
      std::vector<float> rows = streams_.back();
      std::int64_t layer = runtime_.config().layer_count;
      if (p.role == Role::kEmbedding) {
        runtime_.embed(tokens_, changed, rows.data());
        layer = 0;
      }
      QUANTLANE_TRY(const double loss,
                    loss_from(layer, std::move(rows), is_head ? changed : runtime_.head()));
      QUANTLANE_TRY_VOID(set_options(matrix, loss));
      progress_.update(++done_);
    }
    return {};
  }

  // `loss`: with the probe type.
  Result<void> set_options(MatrixOptions& matrix, double loss) {
    const auto& members = parameters(matrix);
    std::vector<double> errors(matrix.types.size());
    for (const Parameter* p : members) {
      QUANTLANE_TRY(const Weight weight, job_.source.weight(*p));
      const std::vector<float> weights = importance(*p);
      pool_.parallel_for(static_cast<std::int64_t>(errors.size()), [&](std::int64_t t, int) {
        const auto i = static_cast<std::size_t>(t);
        errors[i] += weighted_error(weight, *matrix.types[i], algorithm_, weights);
      });
    }
    const auto probe = std::ranges::find(matrix.types, probe_of(matrix)) - matrix.types.begin();
    const double unit = errors[static_cast<std::size_t>(probe)];
    for (std::size_t t = 0; t < errors.size(); ++t)
      matrix.options[t].loss = unit > 0 ? loss * errors[t] / unit : 0;
    return {};
  }

  const QuantizeJob& job_;
  const GgufPlan& plan_;
  const Runtime& runtime_;
  ThreadPool& pool_;
  Progress& progress_;
  const Algorithm& algorithm_;
  std::int64_t chunk_;
  std::int64_t sequences_;
  std::vector<std::int32_t> tokens_;
  ResidualPass pass_;
  std::vector<MatrixOptions> matrices_;
  std::vector<std::vector<float>> streams_;  // before each layer and behind the last, [T, D]
  std::vector<float> logits_;                // [scored, vocab]
  std::vector<double> lse_;
  std::uint64_t done_ = 0;
};

}  // namespace

std::vector<MatrixOptions> list_type_options(const QuantizeJob& job, const GgufPlan& plan) {
  const bool feedback = algorithm_by_name(job.lane.algorithm)->wants_feedback;
  std::vector<MatrixOptions> matrices;
  for (std::size_t i = 0; i < plan.items.size(); ++i) {
    const GgufPlan::Item& item = plan.items[i];
    if (item.parameters.empty() || item.tensor.type.block == nullptr) continue;
    MatrixOptions matrix{.item = i, .types = {}, .options = {}};
    const Parameter& p = *item.parameters.front();
    const bool weighted = !importance_for(job, &search_algorithm(), p.module(), p.cols).empty();
    // Feedback between columns brings far more than between the blocks of grid codes.
    const bool by_column = feedback && p.layer >= 0;
    for (const std::string_view name : kTypes) {
      const BlockFormat* type = block_format_by_name(name);
      if (p.cols % type->block_values != 0 || (by_column && type->grid == nullptr)) continue;
      if (!weighted && type->bits_per_weight() < kNeedsImportance) continue;
      matrix.types.push_back(type);
      matrix.options.push_back(
          {.bytes = static_cast<std::uint64_t>(type->row_bytes(p.cols) * p.rows) *
                    item.parameters.size(),
           .loss = 0});
    }
    if (!matrix.types.empty()) matrices.push_back(std::move(matrix));
  }
  return matrices;
}

Result<std::vector<MatrixOptions>> measure_type_options(
    const QuantizeJob& job, const GgufPlan& plan, std::vector<MatrixOptions> matrices,
    const Runtime& runtime, const TokenChunks& chunks, ThreadPool& pool, Progress& progress) {
  return Prober(job, plan, std::move(matrices), runtime, chunks, pool, progress).run();
}

}  // namespace quantlane
