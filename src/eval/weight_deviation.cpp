#include "eval/weight_deviation.h"

#include <algorithm>
#include <cmath>

#include "core/cancel.h"
#include "core/check.h"

namespace quantlane {
namespace {

// Values that one worker compares at a time.
constexpr std::int64_t kPieceValues = std::int64_t{1} << 18;

WeightDeviation compare_rows(const Weight& source, const Weight& artefact, std::int64_t begin,
                             std::int64_t count) {
  const auto values = static_cast<std::size_t>(count * source.cols());
  std::vector<float> want(values);
  std::vector<float> got(values);
  source.decode_rows(begin, count, want.data());
  artefact.decode_rows(begin, count, got.data());
  WeightDeviation sum;
  for (std::size_t i = 0; i < values; ++i) {
    const double w = static_cast<double>(want[i]);
    const double d = static_cast<double>(got[i]) - w;
    sum.squared_error += d * d;
    sum.squared_norm += w * w;
    if (d != 0) ++sum.differing;
  }
  return sum;
}

bool rounds_products(const Weight& weight) {
  return weight.quantized() != nullptr && weight.quantized()->scheme.rounding != DecodeRounding{};
}

// Codes times scales: what an engine's dequantizer rounds the products to is no deviation of codes.
Weight unrounded(const Weight& weight) {
  if (!rounds_products(weight)) return weight;
  auto tensor = std::make_shared<QuantTensor>(*weight.quantized());
  tensor->scheme.rounding = {};
  return {std::move(tensor), std::nullopt};
}

WeightDeviation compare(const Weight& source, const Weight& artefact, ThreadPool& pool) {
  const std::int64_t rows = std::max<std::int64_t>(1, kPieceValues / source.cols());
  const std::int64_t pieces = (source.rows() + rows - 1) / rows;
  std::vector<WeightDeviation> parts(static_cast<std::size_t>(pieces));
  pool.parallel_for(pieces, [&](std::int64_t i, int) {
    parts[static_cast<std::size_t>(i)] =
        compare_rows(source, artefact, i * rows, std::min(rows, source.rows() - i * rows));
  });
  // In a fixed order: the same sum at any number of threads.
  WeightDeviation sum;
  for (const WeightDeviation& part : parts) {
    sum.squared_error += part.squared_error;
    sum.squared_norm += part.squared_norm;
    sum.differing += part.differing;
  }
  sum.from = source.encoding();
  sum.to = artefact.encoding();
  sum.values = source.rows() * source.cols();
  return sum;
}

WeightDeviation compare_both(const Weight& source, const Weight& artefact, ThreadPool& pool) {
  // Plain values are those that the source decodes to, rounded as its engine does.
  const bool rounded =
      artefact.is_quantized() && (rounds_products(source) || rounds_products(artefact));
  WeightDeviation sum = rounded ? compare(unrounded(source), unrounded(artefact), pool)
                                : compare(source, artefact, pool);
  const WeightDeviation decoded = rounded ? compare(source, artefact, pool) : sum;
  sum.decoded_squared_error = decoded.squared_error;
  sum.decoded_squared_norm = decoded.squared_norm;
  return sum;
}

double relative(double squared_error, double squared_norm) {
  return squared_norm > 0 ? std::sqrt(squared_error / squared_norm) : 0;
}

}  // namespace

double WeightDeviation::relative_rmse() const { return relative(squared_error, squared_norm); }

double WeightDeviation::decoded_relative_rmse() const {
  return relative(decoded_squared_error, decoded_squared_norm);
}

Result<std::vector<WeightDeviation>> measure_deviations(const Checkpoint& source,
                                                        const Checkpoint& artefact,
                                                        std::span<const std::string> names,
                                                        ThreadPool& pool, Progress& progress) {
  std::vector<WeightDeviation> deviations;
  progress.begin("compare with the source", names.size(), "matrices");
  for (const Parameter& parameter : source.graph()->parameters) {
    if (std::ranges::find(names, parameter.name) == names.end()) continue;
    QUANTLANE_TRY_VOID(check_cancel("comparing with the source"));
    const Parameter* other =
        artefact.graph()->find(parameter.role, parameter.layer, parameter.expert);
    if (other == nullptr || other->rows != parameter.rows || other->cols != parameter.cols) {
      return fail(corrupt("comparing with the source")
                      .in(artefact.path().string())
                      .of(parameter.name)
                      .expects("the matrix of the source")
                      .got("none of its shape"));
    }
    QUANTLANE_TRY(const Weight a, source.weight(parameter));
    QUANTLANE_TRY(const Weight b, artefact.weight(*other));
    deviations.push_back(compare_both(a, b, pool));
    deviations.back().tensor = parameter.name;
    progress.update(deviations.size());
  }
  progress.end();
  return deviations;
}

}  // namespace quantlane
