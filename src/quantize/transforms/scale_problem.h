// One input that can be scaled, with what it takes to tell good factors from bad ones.
#pragma once
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "calibrate/input_samples.h"
#include "model/input_scaling.h"
#include "quantize/transforms/scale_search.h"

namespace quantlane {

class ScaleProblem {
 public:
  // Decodes every reader once; keeps at most kRowsPerReader rows of each.
  static Result<ScaleProblem> make(const TransformRequest& request, const ScalableInput& input,
                                   const ModelSamples& samples);

  // Is any reader rounded?
  [[nodiscard]] bool rounds() const { return !readers_.empty(); }
  [[nodiscard]] const ScaleFacts& facts() const { return facts_; }
  [[nodiscard]] std::size_t size() const { return facts_.input_mean.size(); }
  // Factors of geometric mean 1 in the proportions of `wanted` that the source can be stored with:
  // where it is a norm of 16 bits, those that its rounded quotients amount to.
  [[nodiscard]] std::vector<float> storable(std::span<const double> wanted) const;
  // Mean squared error of the outputs of all readers per token, in the sampled rows, when they are
  // rounded under `factors`. On the calling thread only: candidates are tried side by side.
  [[nodiscard]] Result<double> error(std::span<const float> factors) const;

 private:
  struct Reader {
    const Parameter* parameter;
    const MatrixTarget* target;
    std::shared_ptr<const InputSamples> samples;
    std::vector<float> importance;  // [K]
    std::vector<float> weights;     // [n, K]: every so-manieth row
    std::vector<float> outputs;     // [samples, n] without rounding, where inputs are rounded
    std::vector<double> say;        // of the error of each of these rows
    double scale;                   // rows of the matrix per row in `weights`
    [[nodiscard]] std::int64_t rows() const {
      return static_cast<std::int64_t>(weights.size()) / parameter->cols;
    }
  };
  explicit ScaleProblem(const TransformRequest& request, const ScalableInput& input)
      : request_(&request), input_(&input) {}
  Result<void> add_reader(const Parameter& parameter, const MatrixTarget& target,
                          std::shared_ptr<const InputSamples> samples);
  void add_weight_facts(const Parameter& parameter, std::int64_t group, const float* values,
                        std::int64_t rows);
  void add_input_facts(const InputSamples& samples);
  Result<void> read_norm();
  // `largest`: the largest magnitude of what shares a scale of the tensor.
  [[nodiscard]] Result<void> round(const Reader& reader, std::span<const float> importance,
                                   float largest, std::vector<float>& weights) const;
  [[nodiscard]] Result<double> error_of(const Reader& reader, std::span<const float> factors) const;

  const TransformRequest* request_;
  const ScalableInput* input_;
  std::vector<Reader> readers_;
  ScaleFacts facts_;
  std::vector<double> reached_;  // per element: rows and columns behind facts_.weight_mean
  std::int64_t tokens_ = 0;      // behind facts_.input_mean
  std::vector<float> norm_;      // the source's values as applied, where it is a norm
  float norm_offset_ = 0;        // what they are more than the stored ones
  DType norm_type_ = DType::kF32;
};

inline constexpr std::int64_t kRowsPerReader = 192;

}  // namespace quantlane
