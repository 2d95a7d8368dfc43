#include "quantize/algorithms/gptq.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <vector>

#include "core/check.h"
#include "core/half.h"
#include "formats/group_format.h"
#include "formats/scale_storage.h"
#include "kernels/feedback.h"
#include "kernels/gemm.h"
#include "quantize/algorithms/feedback_targets.h"
#include "quantize/algorithms/gptq_blocks.h"
#include "quantize/algorithms/weighted.h"

namespace quantlane {
namespace {

constexpr int kCandidates = kernels::kFeedbackCandidates;
constexpr float kLargestE2M1 = 6.0F;
// Columns that are settled together where scales do not belong to groups.
constexpr std::int64_t kPart = 128;

struct Candidate {
  float stored = 1;  // beside the codes
  GroupParams params;
};
using Candidates = std::array<Candidate, kCandidates>;

kernels::FeedbackGrid grid_of(const Scheme& scheme) {
  using Kind = kernels::FeedbackGrid::Kind;
  if (scheme.type == ValueType::kFloat)
    return {.kind = scheme.bits == 4 ? Kind::kE2M1 : Kind::kE4M3};
  const auto levels = static_cast<float>(1 << scheme.bits);
  if (scheme.symmetric) return {.low = -levels / 2, .high = levels / 2 - 1};
  return {.low = 0, .high = levels - 1};
}

Candidate plain(float scale, float zero, const Scheme& scheme) {
  const float stored = storable_scale(scale, scheme.scale_dtype);
  return {.stored = stored, .params = {.scale = stored, .zero = zero}};
}

Candidate under_tensor(float stored, const Scheme& scheme, float tensor_scale) {
  const bool divides = scheme.tensor_scale == TensorScale::kDivides;
  return {.stored = stored,
          .params = {.scale = divides ? stored / tensor_scale : stored * tensor_scale}};
}

// Finds the parameters of one group: sixteen candidates at a time, judged by what the group costs
// when each of its columns makes up for those before it.
class GroupSearch {
 public:
  GroupSearch(const Scheme& scheme, float tensor_scale, std::int64_t width)
      : scheme_(scheme),
        tensor_scale_(tensor_scale),
        grid_(grid_of(scheme)),
        state_(static_cast<std::size_t>(width * kCandidates)) {}

  Candidate find(const kernels::FeedbackGroup& group, const float* x) {
    float low = 0;
    float high = 0;
    for (std::int64_t i = 0; i < group.count; ++i) {
      low = std::min(low, x[i]);
      high = std::max(high, x[i]);
    }
    best_loss_ = HUGE_VALF;
    if (scheme_.scale_dtype == DType::kF8E4M3) {
      around_e4m3(std::max(high, -low));
    } else if (scheme_.scale_dtype == DType::kF8E8M0) {
      around_power(std::max(high, -low));
    } else if (scheme_.symmetric) {
      symmetric(group, x, std::max(high, -low));
      return best_;
    } else {
      asymmetric(group, x, low, high);
      return best_;
    }
    judge(group, x);
    return best_;
  }

 private:
  // Every stored scale within an octave and a half of that of the largest value.
  void around_e4m3(float amax) {
    const bool divides = scheme_.tensor_scale == TensorScale::kDivides;
    const float unit = divides ? tensor_scale_ : 1 / tensor_scale_;
    const int code = static_cast<int>(f32_to_e4m3(amax / kLargestE2M1 * unit));
    for (int i = 0; i < kCandidates; ++i) {
      const int near = std::clamp(code - 11 + i, 1, 0x7E);
      tried_[static_cast<std::size_t>(i)] =
          under_tensor(e4m3_to_f32(static_cast<std::uint8_t>(near)), scheme_, tensor_scale_);
    }
  }

  void around_power(float amax) {
    const float largest = scheme_.bits == 4 ? kLargestE2M1 : 448.0F;
    const float start = storable_scale(amax / largest, DType::kF8E8M0);
    for (int i = 0; i < kCandidates; ++i)
      tried_[static_cast<std::size_t>(i)] = plain(std::ldexp(start, i % 4 - 1), 0, scheme_);
  }

  void symmetric(const kernels::FeedbackGroup& group, const float* x, float amax) {
    const float top = scheme_.type == ValueType::kInt
                          ? static_cast<float>((1 << scheme_.bits) - 1) / 2.0F
                      : scheme_.bits == 4 ? kLargestE2M1
                                          : 448.0F;
    // How far clipping may pay off: the fewer levels, the further.
    const float least = scheme_.bits > 4 ? 0.8F : scheme_.bits == 4 ? 0.55F : 0.4F;
    const float start = amax / top;
    const float step = (1.05F - least) / (kCandidates - 1) * start;
    for (int i = 0; i < kCandidates; ++i)
      tried_[static_cast<std::size_t>(i)] =
          plain(least * start + step * static_cast<float>(i), 0, scheme_);
    judge(group, x);
    const float found = best_.params.scale;
    for (int i = 0; i < kCandidates; ++i)
      tried_[static_cast<std::size_t>(i)] =
          plain(found + step * (static_cast<float>(i) - 7.5F) / 8, 0, scheme_);
    judge(group, x);
  }

  void asymmetric(const kernels::FeedbackGroup& group, const float* x, float low, float high) {
    const float top = grid_.high;
    const auto candidate = [&](float scale, float zero) {
      return plain(scale, std::clamp(round_half_even(zero), 0.0F, top), scheme_);
    };
    // Both ends cut by up to a quarter, then ever closer around the best.
    for (int i = 0; i < kCandidates; ++i) {
      const float bottom = low * (1.0F - 0.08F * static_cast<float>(i % 4));
      const float up = high * (1.0F - 0.08F * static_cast<float>(i / 4));
      const float scale = storable_scale(up / top - bottom / top, scheme_.scale_dtype);
      tried_[static_cast<std::size_t>(i)] =
          candidate(scale, std::clamp(-bottom / scale, 0.0F, top));
    }
    judge(group, x);
    for (const float reach : {0.03F, 0.01F, 0.003F}) {
      const Candidate centre = best_;
      for (int i = 0; i < kCandidates; ++i) {
        const float factor = 1.0F + reach * (static_cast<float>(i % 5) - 2.0F);
        const float zero = centre.params.zero + static_cast<float>(i / 5) - 1.0F;
        tried_[static_cast<std::size_t>(i)] = candidate(centre.params.scale * factor, zero);
      }
      judge(group, x);
    }
  }

  void judge(const kernels::FeedbackGroup& group, const float* x) {
    alignas(64) float scale[kCandidates];
    alignas(64) float zero[kCandidates];
    alignas(64) float loss[kCandidates];
    for (int i = 0; i < kCandidates; ++i) {
      scale[i] = tried_[static_cast<std::size_t>(i)].params.scale;
      zero[i] = tried_[static_cast<std::size_t>(i)].params.zero;
    }
    kernels::feedback_losses(group, grid_, x, scale, zero, state_.data(), loss);
    if (best_loss_ == HUGE_VALF) best_ = tried_.back();  // where every loss overflows
    for (int i = 0; i < kCandidates; ++i) {
      if (!(loss[i] < best_loss_)) continue;
      best_loss_ = loss[i];
      best_ = tried_[static_cast<std::size_t>(i)];
    }
  }

  const Scheme& scheme_;
  float tensor_scale_;
  kernels::FeedbackGrid grid_;
  std::vector<float> state_;
  Candidates tried_;
  Candidate best_;
  float best_loss_ = 0;
};

// Rows of `count` errors each: what one of them spreads over later columns must be finite.
Result<void> check_errors(const std::vector<float>& errors, std::int64_t count,
                          std::int64_t first_row) {
  const auto bad = std::ranges::find_if(errors, [](float value) { return !std::isfinite(value); });
  if (bad == errors.end()) return {};
  return fail(
      corrupt("rounding with error feedback")
          .expects("weights and activations whose products are finite")
          .got("an overflow in row " + std::to_string(first_row + (bad - errors.begin()) / count))
          .advise("the checkpoint is broken before quantization: run quantlane inspect "
                  "on it, or eval"));
}

QuantTensor empty_tensor(const Scheme& scheme, std::int64_t rows, std::int64_t cols,
                         float tensor_scale) {
  QuantTensor tensor;
  tensor.scheme = scheme;
  tensor.rows = rows;
  tensor.cols = cols;
  tensor.codes.resize(static_cast<std::size_t>(rows * cols));
  tensor.scales.resize(static_cast<std::size_t>(scheme.scale_count(rows, cols)));
  if (!scheme.symmetric) tensor.zeros.resize(tensor.scales.size());
  if (scheme.tensor_scale != TensorScale::kNone) tensor.tensor_scale = tensor_scale;
  return tensor;
}

// The parameters of all rows where these do not belong to groups.
std::vector<Candidate> params_of_rows(const GroupFormat& format, const std::vector<float>& target,
                                      const ErrorFeedback& feedback, float tensor_scale,
                                      QuantTensor& tensor) {
  const Scheme& scheme = tensor.scheme;
  std::vector<Candidate> params(static_cast<std::size_t>(tensor.rows));
  if (scheme.granularity == Granularity::kTensor) {
    std::ranges::fill(params, plain(tensor_scale, 0, scheme));
    tensor.scales = {params.empty() ? tensor_scale : params[0].stored};
    return params;
  }
  const auto cols = static_cast<std::size_t>(tensor.cols);
  for (std::size_t r = 0; r < params.size(); ++r) {
    const FittedGroup fitted = fit_group(format, std::span(target).subspan(r * cols, cols),
                                         feedback.moments, true, scheme, tensor_scale);
    params[r] = {.stored = fitted.stored, .params = fitted.params};
    tensor.scales[r] = fitted.stored;
    if (!scheme.symmetric)
      tensor.zeros[r] = static_cast<std::int8_t>(static_cast<int>(fitted.params.zero));
  }
  return params;
}

Result<QuantTensor> quantize(const Scheme& scheme, const float* values, std::int64_t rows,
                             std::int64_t cols, const LinearInputs& inputs) {
  if (inputs.feedback == nullptr || scheme.granularity == Granularity::kBlock) {
    return kWeighted.quantize(scheme, values, rows, cols, inputs);
  }
  const GroupFormat* format = group_format_for(scheme);
  if (format == nullptr || scheme.type == ValueType::kNormalFloat) {
    return fail(unsupported("quantizing a matrix to " + scheme.spelling())
                    .got("no format that holds this scheme"));
  }
  const ErrorFeedback& feedback = *inputs.feedback;
  QUANTLANE_CHECK(feedback.cols == cols);
  QuantTensor tensor = empty_tensor(scheme, rows, cols, inputs.tensor_scale);
  std::vector<float> target = feedback_targets(values, rows, inputs);
  const bool grouped = scheme.granularity == Granularity::kGroup;
  const std::int64_t part = grouped ? scheme.group_size : std::min(kPart, cols);
  const std::int64_t groups = scheme.groups_per_row(cols);
  std::vector<Candidate> params;
  if (!grouped) params = params_of_rows(*format, target, feedback, inputs.tensor_scale, tensor);
  params.resize(static_cast<std::size_t>(rows));
  GroupSearch search(scheme, inputs.tensor_scale, part);
  std::vector<float> errors(static_cast<std::size_t>(rows * part));
  std::vector<float> settled(static_cast<std::size_t>(part));
  for (std::int64_t begin = 0; begin < cols; begin += part) {
    const kernels::FeedbackGroup group{.upper = feedback.upper.data() + begin * cols + begin,
                                       .stride = cols,
                                       .count = std::min(part, cols - begin)};
    const auto column = [&](std::int64_t j) {
      return feedback.order.empty() ? begin + j
                                    : feedback.order[static_cast<std::size_t>(begin + j)];
    };
    for (std::int64_t r = 0; r < rows; ++r) {
      float* x = target.data() + r * cols + begin;
      Candidate& chosen = params[static_cast<std::size_t>(r)];
      if (grouped) {
        chosen = search.find(group, x);
        const auto index = static_cast<std::size_t>(r * groups + column(0) / part);
        tensor.scales[index] = chosen.stored;
        if (!scheme.symmetric)
          tensor.zeros[index] = static_cast<std::int8_t>(static_cast<int>(chosen.params.zero));
      }
      kernels::feedback_settle(group, grid_of(scheme), chosen.params.scale, chosen.params.zero, x,
                               settled.data(), errors.data() + r * group.count);
      for (std::int64_t j = 0; j < group.count; ++j) {
        format->project({settled.data() + j, 1}, chosen.params, scheme,
                        tensor.codes.data() + r * cols + column(j));
      }
    }
    errors.resize(static_cast<std::size_t>(rows * group.count));
    QUANTLANE_TRY_VOID(check_errors(errors, group.count, inputs.first_row));
    const std::int64_t end = begin + group.count;
    kernels::feedback_spread(errors.data(), rows, group.count,
                             feedback.upper.data() + begin * cols + end, cols, target.data() + end,
                             cols, cols - end);
  }
  return tensor;
}

}  // namespace

constinit const Algorithm kGptqRounding = {
    .name = "gptq",
    .summary = "error feedback across columns (GPTQ), act-order in static form",
    .wants_statistics = true,
    .wants_feedback = true,
    .quantize = quantize,
    .encode = encode_blocks_with_feedback};

}  // namespace quantlane
