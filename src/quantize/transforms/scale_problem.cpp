#include "quantize/transforms/scale_problem.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "calibrate/hessian.h"
#include "core/check.h"
#include "formats/group_format.h"
#include "formats/quant_tensor.h"
#include "kernels/activation.h"
#include "kernels/gemm.h"
#include "quantize/linear_scales.h"

namespace quantlane {
namespace {

constexpr std::int64_t kValuesPerDecode = 1 << 20;
constexpr double kLeastFactor = 1e-4;  // of the largest (AWQ's clamp)

// Columns that share a scale.
std::int64_t group_of(const MatrixTarget& target, std::int64_t cols) {
  if (target.block != nullptr) return target.block->block_values;
  const Scheme& scheme = target.scheme->weight;
  return scheme.granularity == Granularity::kGroup ? scheme.group_size : cols;
}

double sum_of_squares(std::span<const float> values) {
  double total = 0;
  for (const float value : values) total += static_cast<double>(value) * static_cast<double>(value);
  return total;
}

// The scale of inputs that are multiplied by `factors`, from the magnitudes of the sampled rows.
float static_scale(const ActivationScheme& scheme, const InputSamples& samples,
                   std::span<const float> factors) {
  InputStatistics statistics{.sum_squares = {},
                             .absmax = samples.statistics.absmax,
                             .tokens = samples.row_count(),
                             .magnitudes = std::vector<std::int64_t>(kMagnitudeBins)};
  for (std::size_t c = 0; c < factors.size(); ++c) statistics.absmax[c] *= factors[c];
  for (std::size_t i = 0; i < samples.rows.size(); ++i) {
    const float value = samples.rows[i] * factors[i % factors.size()];
    ++statistics.magnitudes[static_cast<std::size_t>(magnitude_bin(value))];
  }
  return input_scale_for(scheme, statistics);
}

// What the error of each row counts: 1, less where the row is far above the median, as in
// HessianSum.
std::vector<double> say_of_rows(const std::vector<float>& outputs, std::int64_t tokens) {
  std::vector<double> energies;
  const std::size_t width =
      outputs.size() / static_cast<std::size_t>(std::max<std::int64_t>(1, tokens));
  for (std::size_t i = 0; i < outputs.size(); i += width)
    energies.push_back(sum_of_squares(std::span(outputs).subspan(i, width)));
  const double most = most_row_energy(energies);
  for (double& energy : energies) energy = energy > most ? most / energy : 1;
  return energies;
}

const ActivationScheme* input_rounding(const MatrixTarget& target) {
  return target.scheme && target.scheme->input ? &*target.scheme->input : nullptr;
}

}  // namespace

Result<ScaleProblem> ScaleProblem::make(const TransformRequest& request, const ScalableInput& input,
                                        const ModelSamples& samples) {
  ScaleProblem problem(request, input);
  const auto size = static_cast<std::size_t>(input.source_size());
  problem.facts_ = {.input_mean = std::vector<double>(size),
                    .input_max = std::vector<double>(size),
                    .weight_mean = std::vector<double>(size),
                    .weight_max = std::vector<double>(size)};
  problem.reached_.resize(size);
  std::vector<const InputSamples*> seen;
  for (const Parameter* reader : input.readers) {
    const auto target = request.targets.find(reader->name);
    const auto sampled = samples.find(reader->module());
    if (target == request.targets.end() || sampled == samples.end()) continue;
    QUANTLANE_TRY_VOID(problem.add_reader(*reader, target->second, sampled->second));
    if (std::ranges::find(seen, sampled->second.get()) != seen.end()) continue;
    seen.push_back(sampled->second.get());
    problem.add_input_facts(*sampled->second);
  }
  if (!problem.rounds()) return problem;
  for (std::size_t i = 0; i < size; ++i) {
    problem.facts_.weight_mean[i] /= std::max(1.0, problem.reached_[i]);
    problem.facts_.input_mean[i] /= static_cast<double>(std::max<std::int64_t>(1, problem.tokens_));
  }
  QUANTLANE_TRY_VOID(problem.read_norm());
  return problem;
}

Result<void> ScaleProblem::add_reader(const Parameter& parameter, const MatrixTarget& target,
                                      std::shared_ptr<const InputSamples> samples) {
  QUANTLANE_TRY(const Weight weight, request_->source->weight(parameter));
  const std::int64_t cols = parameter.cols;
  // Whole blocks of rows where rows share scales.
  const std::int64_t block = target.scheme ? target.scheme->weight.block_rows : 1;
  const std::int64_t wanted = std::max<std::int64_t>(1, kRowsPerReader / block);
  const std::int64_t stride = (parameter.rows / block + wanted - 1) / wanted;
  Reader reader{.parameter = &parameter,
                .target = &target,
                .samples = std::move(samples),
                .importance = {},
                .weights = {},
                .outputs = {},
                .say = {},
                .scale = 1};
  const std::int64_t piece = std::max<std::int64_t>(1, kValuesPerDecode / cols);
  std::vector<float> values(static_cast<std::size_t>(piece * cols));
  for (std::int64_t begin = 0; begin < parameter.rows; begin += piece) {
    const std::int64_t count = std::min(piece, parameter.rows - begin);
    weight.decode_rows(begin, count, values.data());
    add_weight_facts(parameter, group_of(target, cols), values.data(), count);
    for (std::int64_t r = begin; r < begin + count; ++r) {
      if (r / block % stride != 0) continue;
      const float* row = values.data() + (r - begin) * cols;
      reader.weights.insert(reader.weights.end(), row, row + cols);
    }
  }
  reader.scale = static_cast<double>(parameter.rows) / static_cast<double>(reader.rows());
  Statistics statistics;
  statistics.set("input", reader.samples->statistics);
  reader.importance = statistics.importance("input", cols);
  if (input_rounding(target) != nullptr) {
    const std::int64_t tokens = reader.samples->row_count();
    reader.outputs.resize(static_cast<std::size_t>(tokens * reader.rows()));
    kernels::gemm(reader.samples->rows.data(), tokens, cols, {.f32 = reader.weights.data()},
                  reader.rows(), reader.outputs.data(), request_->pool);
    reader.say = say_of_rows(reader.outputs, tokens);
  }
  readers_.push_back(std::move(reader));
  return {};
}

void ScaleProblem::add_weight_facts(const Parameter& parameter, std::int64_t group,
                                    const float* values, std::int64_t rows) {
  for (std::int64_t r = 0; r < rows; ++r) {
    const float* row = values + r * parameter.cols;
    for (std::int64_t begin = 0; begin < parameter.cols; begin += group) {
      const std::int64_t end = std::min(parameter.cols, begin + group);
      float largest = 0;
      for (std::int64_t c = begin; c < end; ++c) largest = std::max(largest, std::abs(row[c]));
      if (largest == 0) continue;
      for (std::int64_t c = begin; c < end; ++c) {
        const auto i =
            static_cast<std::size_t>(input_->source_of_column[static_cast<std::size_t>(c)]);
        const auto size = static_cast<double>(std::abs(row[c]));
        facts_.weight_max[i] = std::max(facts_.weight_max[i], size);
        facts_.weight_mean[i] += size / static_cast<double>(largest);
        reached_[i] += 1;
      }
    }
  }
}

void ScaleProblem::add_input_facts(const InputSamples& samples) {
  const auto cols = static_cast<std::size_t>(samples.cols);
  const double shared = static_cast<double>(cols) / static_cast<double>(size());
  for (std::size_t c = 0; c < cols; ++c) {
    const auto i = static_cast<std::size_t>(input_->source_of_column[c]);
    facts_.input_mean[i] += samples.sum_abs[c] / shared;
    facts_.input_max[i] =
        std::max(facts_.input_max[i], static_cast<double>(samples.statistics.absmax[c]));
  }
  tokens_ += samples.statistics.tokens;
}

Result<void> ScaleProblem::read_norm() {
  const Parameter& source = *input_->source;
  if (is_linear(source.role)) return {};
  QUANTLANE_TRY(const Weight weight, request_->source->weight(source));
  norm_.resize(static_cast<std::size_t>(source.cols));
  weight.decode_rows(0, 1, norm_.data());
  norm_offset_ = request_->source->graph()->config.norm_plus_one ? 1.0F : 0.0F;
  for (float& value : norm_) value += norm_offset_;
  const TensorInfo* stored = request_->source->stored(source).tensor;
  const bool short_float = stored != nullptr && stored->type.block == nullptr &&
                           dtype_row(stored->type.plain).size_bytes == 2;
  norm_type_ = short_float ? stored->type.plain : DType::kF32;
  return {};
}

std::vector<float> ScaleProblem::storable(std::span<const double> wanted) const {
  std::vector<float> factors(wanted.size(), 1.0F);
  double largest = 0;
  for (const double factor : wanted) {
    if (std::isfinite(factor)) largest = std::max(largest, factor);
  }
  if (!(largest > 0)) return factors;
  double logarithms = 0;
  const auto clamped = [&](double factor) {
    return std::isfinite(factor) ? std::max(factor, kLeastFactor * largest) : largest;
  };
  for (const double factor : wanted) logarithms += std::log(clamped(factor));
  const double mean = std::exp(logarithms / static_cast<double>(wanted.size()));
  for (std::size_t i = 0; i < factors.size(); ++i) {
    factors[i] = static_cast<float>(clamped(wanted[i]) / mean);
    if (norm_.empty()) continue;
    float quotient = norm_[i] / factors[i] - norm_offset_;
    round_values(norm_type_, &quotient, 1);
    const float applied = quotient + norm_offset_;
    if (norm_[i] == 0) continue;
    const float factor = norm_[i] / applied;
    // A quotient that rounds away keeps the element as it was.
    factors[i] = std::isfinite(factor) && factor > 0 ? factor : 1.0F;
  }
  return factors;
}

Result<double> ScaleProblem::error(std::span<const float> factors) const {
  double total = 0;
  for (const Reader& reader : readers_) {
    QUANTLANE_TRY(const double error, error_of(reader, factors));
    total += error;
  }
  return total;
}

Result<void> ScaleProblem::round(const Reader& reader, std::span<const float> importance,
                                 float largest, std::vector<float>& weights) const {
  const std::int64_t cols = reader.parameter->cols;
  const std::int64_t rows = reader.rows();
  LinearInputs inputs{.importance = importance};
  if (const BlockFormat* block = reader.target->block) {
    std::vector<std::byte> blocks(static_cast<std::size_t>(rows * block->row_bytes(cols)));
    request_->algorithm.encode(*block, weights.data(), rows, cols, inputs, blocks.data());
    block->decode(blocks.data(), rows * cols / block->block_values, weights.data());
    return {};
  }
  const Scheme& scheme = reader.target->scheme->weight;
  if (scheme.granularity == Granularity::kTensor || scheme.tensor_scale != TensorScale::kNone)
    inputs.tensor_scale = tensor_scale_for(scheme, largest);
  QUANTLANE_TRY(const QuantTensor tensor,
                request_->algorithm.quantize(scheme, weights.data(), rows, cols, inputs));
  tensor.decode_rows(0, rows, weights.data());
  return {};
}

Result<double> ScaleProblem::error_of(const Reader& reader, std::span<const float> factors) const {
  const std::int64_t cols = reader.parameter->cols;
  const std::int64_t rows = reader.rows();
  ThreadPool here(1);
  std::vector<float> columns(static_cast<std::size_t>(cols));
  std::vector<float> inverse(columns.size());
  std::vector<float> importance = reader.importance;
  for (std::size_t c = 0; c < columns.size(); ++c) {
    columns[c] = factors[static_cast<std::size_t>(input_->source_of_column[c])];
    inverse[c] = 1 / columns[c];
    if (!importance.empty()) importance[c] *= inverse[c] * inverse[c];
  }
  const auto multiply_rows = [&](std::vector<float>& matrix, const std::vector<float>& by) {
    for (std::size_t i = 0; i < matrix.size(); i += by.size()) {
      for (std::size_t c = 0; c < by.size(); ++c) matrix[i + c] *= by[c];
    }
  };
  std::vector<float> rounded = reader.weights;
  multiply_rows(rounded, columns);
  float largest = 0;  // of all readers, which an engine may fuse under one scale
  for (std::size_t i = 0; i < size(); ++i)
    largest = std::max(largest, static_cast<float>(facts_.weight_max[i]) * factors[i]);
  QUANTLANE_TRY_VOID(round(reader, importance, largest, rounded));
  std::vector<float> outputs;
  if (const ActivationScheme* rounding = input_rounding(*reader.target)) {
    std::vector<float> inputs = reader.samples->rows;
    multiply_rows(inputs, inverse);
    const std::int64_t tokens = reader.samples->row_count();
    ActivationScheme scheme = *rounding;
    if (scheme.calibrated()) scheme.static_scale = static_scale(scheme, *reader.samples, inverse);
    kernels::round_activations(scheme, inputs.data(), tokens, cols);
    outputs.resize(reader.outputs.size());
    kernels::gemm(inputs.data(), tokens, cols, {.f32 = rounded.data()}, rows, outputs.data(), here);
    double total = 0;
    for (std::int64_t t = 0; t < tokens; ++t) {
      double error = 0;
      for (std::int64_t i = t * rows; i < (t + 1) * rows; ++i) {
        const auto at = static_cast<std::size_t>(i);
        const double off =
            static_cast<double>(outputs[at]) - static_cast<double>(reader.outputs[at]);
        error += off * off;
      }
      total += error * reader.say[static_cast<std::size_t>(t)];
    }
    return total * reader.scale / static_cast<double>(std::max<std::int64_t>(1, tokens));
  }
  multiply_rows(rounded, inverse);
  for (std::size_t i = 0; i < rounded.size(); ++i) rounded[i] -= reader.weights[i];
  outputs.resize(static_cast<std::size_t>(rows * kSketchRows));
  kernels::gemm(rounded.data(), rows, cols, {.f32 = reader.samples->sketch.data()}, kSketchRows,
                outputs.data(), here);
  return sum_of_squares(outputs) * reader.scale /
         static_cast<double>(std::max<std::int64_t>(1, reader.samples->statistics.tokens));
}

}  // namespace quantlane
