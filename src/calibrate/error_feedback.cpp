#include "calibrate/error_feedback.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <numeric>
#include <span>
#include <string>
#include <utility>

#include <Eigen/Dense>

#include "core/check.h"
#include "kernels/gemm.h"
#include "runtime/over_tokens.h"

namespace quantlane {
namespace {

constexpr double kMostDamping = 10;
// Rows that are factorized in double at once; what lies between such blocks goes through the
// product of the runtime, in float32.
constexpr std::int64_t kBlock = 128;
// How much of what the inputs have moved by is made up for. All of it fits the calibration text too
// closely: on SmolLM2 1 gives a KLD of .194 where 0.5 gives .173 (and 0 .221).
constexpr float kShiftShare = 0.5F;

// rows(begin, end) for pieces of [0, n).
template <class Rows>
void over_rows(std::int64_t n, ThreadPool& pool, const Rows& rows) {
  over_tokens(n, pool, [&](std::int64_t first, std::int64_t count) { rows(first, first + count); });
}

// [cols, rows], value(r, c) in row c.
template <class Value>
std::vector<float> transposed(std::int64_t rows, std::int64_t cols, ThreadPool& pool,
                              const Value& value) {
  std::vector<float> result(static_cast<std::size_t>(rows * cols));
  over_rows(cols, pool, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t c = begin; c < end; ++c)
        result[static_cast<std::size_t>(c * rows + r)] = value(r, c);
    }
  });
  return result;
}

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// A lower triangular factor of a positive definite matrix, block by block, and its inverse.
class BlockedFactor {
 public:
  // a [n, n]: its lower half is read and becomes the factor.
  BlockedFactor(std::vector<float> a, std::int64_t n, ThreadPool& pool)
      : a_(std::move(a)), n_(n), pool_(pool) {}

  // false: not positive definite.
  bool factorize() {
    for (std::int64_t k = 0; k < n_; k += kBlock) {
      const std::int64_t width = std::min(kBlock, n_ - k);
      if (!factorize_block(k, width)) return false;
      const std::int64_t below = n_ - k - width;
      if (below == 0) break;
      // Panel = A * inverse(L)^T, then the rest less panel * panel^T.
      copy(k + width, below, k, width, panel_);
      const std::vector<float>& inverse = inverses_.back();
      panel_out_.resize(static_cast<std::size_t>(below * width));
      kernels::gemm(panel_.data(), below, width, {.f32 = inverse.data()}, width, panel_out_.data(),
                    pool_);
      for (std::int64_t r = 0; r < below; ++r)
        std::copy_n(panel_out_.data() + r * width, width, row(k + width + r) + k);
      for (std::int64_t band = 0; band < below; band += kBlock) {
        const std::int64_t rows = std::min(kBlock, below - band);
        product_.resize(static_cast<std::size_t>(rows * (band + rows)));
        kernels::gemm(panel_out_.data() + band * width, rows, width, {.f32 = panel_out_.data()},
                      band + rows, product_.data(), pool_);
        over_rows(rows, pool_, [&](std::int64_t begin, std::int64_t end) {
          for (std::int64_t r = begin; r < end; ++r) {
            float* target = row(k + width + band + r) + k + width;
            const float* source = product_.data() + r * (band + rows);
            for (std::int64_t c = 0; c <= band + r; ++c) target[c] -= source[c];
          }
        });
      }
    }
    return true;
  }

  // The inverse of the factor, transposed: [n, n], upper triangular.
  std::vector<float> inverse_transposed() {
    std::vector<float> result(static_cast<std::size_t>(n_ * n_), 0.0F);
    std::vector<float> known;
    for (std::int64_t k = 0; k < n_; k += kBlock) {
      const std::int64_t width = std::min(kBlock, n_ - k);
      const std::vector<float>& inverse = inverses_[static_cast<std::size_t>(k / kBlock)];
      for (std::int64_t r = 0; r < width; ++r) {
        for (std::int64_t c = 0; c <= r; ++c)
          result[static_cast<std::size_t>((k + c) * n_ + k + r)] =
              inverse[static_cast<std::size_t>(r * width + c)];
      }
      if (k == 0) continue;
      // Row block of the inverse: -inverse(L_kk) * (L_k,<k * inverse_<k).
      copy(k, width, 0, k, panel_);
      known.resize(static_cast<std::size_t>(k * k));
      over_rows(k, pool_, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t r = begin; r < end; ++r)
          std::copy_n(result.data() + r * n_, k, known.data() + r * k);
      });
      product_.resize(static_cast<std::size_t>(k * width));
      // [k, width], the transpose of what is wanted: known rows times the rows of the panel.
      kernels::gemm(known.data(), k, k, {.f32 = panel_.data()}, width, product_.data(), pool_);
      panel_out_.resize(product_.size());
      kernels::gemm(product_.data(), k, width, {.f32 = inverse.data()}, width, panel_out_.data(),
                    pool_);
      over_rows(k, pool_, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t r = begin; r < end; ++r) {
          for (std::int64_t c = 0; c < width; ++c)
            result[static_cast<std::size_t>(r * n_ + k + c)] =
                -panel_out_[static_cast<std::size_t>(r * width + c)];
        }
      });
    }
    return result;
  }

 private:
  float* row(std::int64_t r) { return a_.data() + r * n_; }
  void copy(std::int64_t first, std::int64_t rows, std::int64_t column, std::int64_t width,
            std::vector<float>& to) {
    to.resize(static_cast<std::size_t>(rows * width));
    over_rows(rows, pool_, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t r = begin; r < end; ++r)
        std::copy_n(row(first + r) + column, width, to.data() + r * width);
    });
  }

  bool factorize_block(std::int64_t k, std::int64_t width) {
    Matrix block(width, width);
    for (std::int64_t r = 0; r < width; ++r) {
      for (std::int64_t c = 0; c <= r; ++c) block(r, c) = static_cast<double>(row(k + r)[k + c]);
    }
    const Eigen::LLT<Eigen::Ref<Matrix>, Eigen::Lower> factor(block);
    if (factor.info() != Eigen::Success) return false;
    Matrix inverse = Matrix::Identity(width, width);
    block.triangularView<Eigen::Lower>().solveInPlace(inverse);
    std::vector<float> kept(static_cast<std::size_t>(width * width), 0.0F);
    for (std::int64_t r = 0; r < width; ++r) {
      for (std::int64_t c = 0; c <= r; ++c) {
        kept[static_cast<std::size_t>(r * width + c)] = static_cast<float>(inverse(r, c));
        row(k + r)[k + c] = static_cast<float>(block(r, c));
      }
    }
    inverses_.push_back(std::move(kept));
    return true;
  }

  std::vector<float> a_;
  std::int64_t n_;
  ThreadPool& pool_;
  std::vector<std::vector<float>> inverses_;  // of the diagonal blocks
  std::vector<float> panel_, panel_out_, product_;
};

// BlockedFactor of `a` [n, n], inverted and transposed; empty where there is none.
std::vector<float> inverse_of_factor(std::vector<float> a, std::int64_t n, ThreadPool& pool) {
  BlockedFactor factor(std::move(a), n, pool);
  if (!factor.factorize()) return {};
  return factor.inverse_transposed();
}

std::vector<float> transposed(const std::vector<float>& a, std::int64_t n, ThreadPool& pool) {
  return transposed(n, n, pool, [&](std::int64_t r, std::int64_t c) {
    return a[static_cast<std::size_t>(r * n + c)];
  });
}

// (U M)^T for the share of M [cols, width] per token that is made up for, rows in the order of U.
std::vector<float> half_solved(const std::vector<float>& moments, std::int64_t tokens,
                               const ErrorFeedback& feedback, ThreadPool& pool) {
  const std::int64_t n = feedback.cols;
  const auto width = static_cast<std::int64_t>(moments.size()) / n;
  const float factor = kShiftShare / static_cast<float>(tokens);
  // M^T; these matrices are large, so few live
  const std::vector<float> ordered =
      transposed(n, width, pool, [&](std::int64_t r, std::int64_t c) {
        const std::int64_t from =
            feedback.order.empty() ? r : feedback.order[static_cast<std::size_t>(r)];
        return factor * moments[static_cast<std::size_t>(from * width + c)];
      });
  std::vector<float> half(moments.size());
  kernels::gemm_rounded(ordered.data(), width, n, {.f32 = feedback.upper.data()}, n, half.data(),
                        pool);
  return half;
}

// U^T (U C) for C = the shift of the inputs.
std::vector<float> solve_shift(const Hessian& hessian, const ErrorFeedback& feedback,
                               ThreadPool& pool) {
  const std::int64_t n = hessian.cols;
  const std::vector<float> half = half_solved(hessian.shift, hessian.tokens, feedback, pool);
  const std::vector<float> lower = transposed(feedback.upper, n, pool);
  std::vector<float> shift(hessian.shift.size());
  kernels::gemm_rounded(lower.data(), n, n, {.f32 = half.data()}, n, shift.data(), pool);
  return shift;
}

// (U^T (U D))^T for D = what the outputs lack.
std::vector<float> solve_lift(const Hessian& hessian, const ErrorFeedback& feedback,
                              ThreadPool& pool) {
  const std::int64_t n = hessian.cols;
  const std::vector<float> half = half_solved(hessian.lack, hessian.tokens, feedback, pool);
  const std::vector<float> lower = transposed(feedback.upper, n, pool);
  std::vector<float> lift(hessian.lack.size());
  kernels::gemm_rounded(half.data(), static_cast<std::int64_t>(lift.size()) / n, n,
                        {.f32 = lower.data()}, n, lift.data(), pool);
  return lift;
}

}  // namespace

std::vector<std::int32_t> feedback_order(const Hessian& hessian, std::int64_t group) {
  const std::int64_t n = hessian.cols;
  QUANTLANE_CHECK(group > 0 && n % group == 0);
  const auto moment = [&](std::int32_t c) {
    return hessian.sums[static_cast<std::size_t>(c * n + c)];
  };
  std::vector<std::int32_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  struct Group {
    std::int64_t begin;
    double sum;
  };
  std::vector<Group> groups;
  for (std::int64_t begin = 0; begin < n; begin += group) {
    const auto first = order.begin() + begin;
    std::stable_sort(first, first + group,
                     [&](std::int32_t a, std::int32_t b) { return moment(a) > moment(b); });
    double sum = 0;
    for (auto it = first; it != first + group; ++it) sum += static_cast<double>(moment(*it));
    groups.push_back({.begin = begin, .sum = sum});
  }
  std::ranges::stable_sort(groups, std::ranges::greater(), &Group::sum);
  std::vector<std::int32_t> result;
  for (const Group& g : groups)
    result.insert(result.end(), order.begin() + g.begin, order.begin() + g.begin + group);
  return result;
}

Result<ErrorFeedback> make_error_feedback(const Hessian& hessian, std::int64_t group,
                                          ThreadPool& pool) {
  const std::int64_t n = hessian.cols;
  const float tokens = static_cast<float>(std::max<std::int64_t>(1, hessian.tokens));
  ErrorFeedback feedback{.cols = n, .upper = {}, .damping = 0};
  if (group > 0) feedback.order = feedback_order(hessian, group);
  const auto place = [&](std::int64_t i) {
    return feedback.order.empty() ? i : std::int64_t{feedback.order[static_cast<std::size_t>(i)]};
  };
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t c = place(i);
    feedback.moments.push_back(hessian.sums[static_cast<std::size_t>(c * n + c)] / tokens);
  }
  double mean = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    mean += static_cast<double>(hessian.sums[static_cast<std::size_t>(i * n + i)]) /
            static_cast<double>(n) / static_cast<double>(tokens);
  }
  if (!(mean > 0)) mean = 1;
  for (double damping = kLeastDamping; damping <= kMostDamping; damping *= 10) {
    // With both orders reversed the factor of H itself gives U: no inverse of a full matrix.
    std::vector<float> reversed(static_cast<std::size_t>(n * n), 0.0F);
    over_rows(n, pool, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const float* row = hessian.sums.data() + place(n - 1 - i) * n;
        for (std::int64_t k = 0; k <= i; ++k)
          reversed[static_cast<std::size_t>(i * n + k)] = row[place(n - 1 - k)] / tokens;
        reversed[static_cast<std::size_t>(i * n + i)] += static_cast<float>(damping * mean);
      }
    });
    std::vector<float> inverse = inverse_of_factor(std::move(reversed), n, pool);
    if (inverse.empty()) continue;
    feedback.upper = transposed(n, n, pool, [&](std::int64_t k, std::int64_t i) {
      return k < i ? 0.0F : inverse[static_cast<std::size_t>((n - 1 - k) * n + n - 1 - i)];
    });
    std::atomic<bool> finite = true;
    over_rows(n, pool, [&](std::int64_t begin, std::int64_t end) {
      const auto rows = std::span(feedback.upper)
                            .subspan(static_cast<std::size_t>(begin * n),
                                     static_cast<std::size_t>((end - begin) * n));
      if (!std::ranges::all_of(rows, [](float value) { return std::isfinite(value); }))
        finite = false;
    });
    if (!finite) continue;
    inverse = {};
    feedback.damping = damping;
    if (!hessian.shift.empty()) feedback.shift = solve_shift(hessian, feedback, pool);
    if (!hessian.lack.empty()) feedback.lift = solve_lift(hessian, feedback, pool);
    return feedback;
  }
  return fail(corrupt("factorizing the second moments of activations")
                  .expects("a positive definite matrix")
                  .got("none, with " + std::to_string(kMostDamping) + " times the mean added")
                  .advise("quantize without +gptq, or calibrate on another text"));
}

}  // namespace quantlane
