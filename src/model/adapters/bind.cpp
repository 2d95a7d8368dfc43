// An adapter and its base become a checkpoint with edits, with an account of what changes.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>

#include <fmt/format.h>

#include "core/cancel.h"
#include "core/ceil_div.h"
#include "core/check.h"
#include "core/half.h"
#include "model/adapters/adapter.h"
#include "model/adapters/adapter_parts.h"

namespace quantlane {
namespace {

constexpr std::int64_t kSliceRows = 64;

// Sums over the rows of one parameter, slice by slice in their order.
struct Sums {
  double weight = 0;
  double change = 0;
  double rounding = 0;
};

// Calls body(begin, count, sums of that slice) for slices of rows and adds the sums up in order.
template <class Body>
Sums over_slices(std::int64_t rows, ThreadPool& pool, const Body& body) {
  const std::int64_t slices = ceil_div(rows, kSliceRows);
  std::vector<Sums> parts(static_cast<std::size_t>(slices));
  pool.parallel_for(slices, [&](std::int64_t slice, int) {
    const std::int64_t begin = slice * kSliceRows;
    body(begin, std::min(kSliceRows, rows - begin), parts[static_cast<std::size_t>(slice)]);
  });
  Sums total;
  for (const Sums& part : parts) {
    total.weight += part.weight;
    total.change += part.change;
    total.rounding += part.rounding;
  }
  return total;
}

double square(double value) { return value * value; }

std::vector<double> squares_of_rows(const Weight& weight, ThreadPool& pool) {
  std::vector<double> squares(static_cast<std::size_t>(weight.rows()));
  const std::int64_t cols = weight.cols();
  over_slices(weight.rows(), pool, [&](std::int64_t begin, std::int64_t count, Sums&) {
    std::vector<float> values(static_cast<std::size_t>(count * cols));
    weight.decode_rows(begin, count, values.data());
    for (std::int64_t i = 0; i < count * cols; ++i) {
      squares[static_cast<std::size_t>(begin + i / cols)] +=
          square(values[static_cast<std::size_t>(i)]);
    }
  });
  return squares;
}

// Parts of many rows, summed in their order.
std::vector<double> squares_of_columns(const Weight& weight, ThreadPool& pool) {
  constexpr std::int64_t kPartRows = 64 * kSliceRows;
  const auto cols = static_cast<std::size_t>(weight.cols());
  const std::int64_t count = ceil_div(weight.rows(), kPartRows);
  std::vector<std::vector<double>> parts(static_cast<std::size_t>(count),
                                         std::vector<double>(cols));
  pool.parallel_for(count, [&](std::int64_t part, int) {
    std::vector<float> values(cols);
    const std::int64_t end = std::min((part + 1) * kPartRows, weight.rows());
    for (std::int64_t row = part * kPartRows; row < end; ++row) {
      weight.decode_rows(row, 1, values.data());
      for (std::size_t c = 0; c < cols; ++c) {
        parts[static_cast<std::size_t>(part)][c] += square(values[c]);
      }
    }
  });
  std::vector<double> squares(cols);
  for (const std::vector<double>& part : parts) {
    for (std::size_t c = 0; c < cols; ++c) squares[c] += part[c];
  }
  return squares;
}

// Factors that bring the rows (or columns) of base + delta to their magnitudes (DoRA).
Result<std::vector<float>> length_factors(const AdapterDelta& delta, const Weight& changed,
                                          const std::string& name, const std::string& origin,
                                          ThreadPool& pool) {
  const std::vector<double> squares =
      delta.of_columns ? squares_of_columns(changed, pool) : squares_of_rows(changed, pool);
  const std::string kind = delta.of_columns ? "column" : "row";
  std::vector<float> factors(squares.size());
  for (std::size_t at = 0; at < factors.size(); ++at) {
    factors[at] =
        static_cast<float>(static_cast<double>(delta.magnitude[at]) / std::sqrt(squares[at]));
    if (std::isfinite(factors[at])) continue;
    return fail(invalid("merging an adapter")
                    .in(origin)
                    .of(name)
                    .expects(kind + "s that are not zero, to be brought to their magnitudes")
                    .got(kind + " " + std::to_string(at)));
  }
  return factors;
}

WeightEdit edit_of(const AdapterDelta& delta) {
  auto product = std::make_shared<LowRankDelta>();
  product->rank = delta.rank;
  product->a = delta.a;
  product->b = delta.b;
  product->scale = static_cast<float>(delta.scale);
  return {.values = {}, .delta = std::move(product), .row_factors = {}, .column_factors = {}};
}

// The values of the base, or those that replace them, with some rows given whole.
std::shared_ptr<const std::vector<float>> with_rows(const AdapterRows& given,
                                                    const WeightEdit& edit, const Weight& base,
                                                    ThreadPool& pool) {
  const std::int64_t cols = base.cols();
  auto values = std::make_shared<std::vector<float>>(static_cast<std::size_t>(base.rows() * cols));
  if (edit.values) {
    *values = *edit.values;
  } else {
    over_slices(base.rows(), pool, [&](std::int64_t begin, std::int64_t count, Sums&) {
      base.decode_rows(begin, count, values->data() + begin * cols);
    });
  }
  for (std::size_t i = 0; i < given.rows.size(); ++i) {
    std::copy_n(given.values.begin() + static_cast<std::int64_t>(i) * cols, cols,
                values->begin() + given.rows[i] * cols);
  }
  return values;
}

Result<WeightEdits> edits_of(const Adapter& adapter, const Checkpoint& base, ThreadPool& pool) {
  WeightEdits edits;
  for (const auto& [name, replacement] : adapter.replacements) {
    edits[name].values = std::make_shared<const std::vector<float>>(replacement.values);
  }
  for (const auto& [name, given] : adapter.rows) {
    QUANTLANE_TRY(const Weight weight, base.weight(*find_parameter(*base.graph(), name)));
    edits[name].values = with_rows(given, edits[name], weight, pool);
  }
  for (const auto& [name, delta] : adapter.deltas) {
    WeightEdit edit = edit_of(delta);
    if (const auto replaced = edits.find(name); replaced != edits.end()) {
      edit.values = replaced->second.values;
    }
    if (!delta.magnitude.empty()) {
      QUANTLANE_TRY_VOID(check_cancel("merging an adapter"));
      QUANTLANE_TRY(Weight changed, base.weight(*find_parameter(*base.graph(), name)));
      changed.edit(std::make_shared<const WeightEdit>(edit), 0);
      QUANTLANE_TRY((delta.of_columns ? edit.column_factors : edit.row_factors),
                    length_factors(delta, changed, name, adapter.path.string(), pool));
    }
    edits[name] = std::move(edit);
  }
  return edits;
}

// Differences between two forms of one parameter.
Sums differences(const Weight& before, const Weight& after, ThreadPool& pool) {
  const std::int64_t cols = before.cols();
  return over_slices(before.rows(), pool, [&](std::int64_t begin, std::int64_t count, Sums& sums) {
    std::vector<float> old(static_cast<std::size_t>(count * cols));
    std::vector<float> changed(old.size());
    before.decode_rows(begin, count, old.data());
    after.decode_rows(begin, count, changed.data());
    for (std::size_t i = 0; i < old.size(); ++i) {
      sums.weight += square(old[i]);
      sums.change += square(static_cast<double>(changed[i]) - static_cast<double>(old[i]));
    }
  });
}

float stored_as(float value, DType type) {
  if (type == DType::kBF16) return bf16_to_f32(f32_to_bf16(value));
  return type == DType::kF16 ? f16_to_f32(f32_to_f16(value)) : value;
}

// A merged value that is infinite once it is stored as `type`.
Error overflow(const std::string& file, const Parameter& parameter, const Weight& before,
               const Weight& after, DType type) {
  std::vector<float> old(static_cast<std::size_t>(before.cols()));
  std::vector<float> changed(old.size());
  std::string found = "changes whose squares add up to infinity";
  bool searching = true;
  for (std::int64_t row = 0; searching && row < before.rows(); ++row) {
    after.decode_rows(row, 1, changed.data());
    for (std::size_t c = 0; searching && c < changed.size(); ++c) {
      if (std::isfinite(stored_as(changed[c], type))) continue;
      before.decode_rows(row, 1, old.data());
      found =
          fmt::format("{} in row {}, column {}, where the base has {}", changed[c], row, c, old[c]);
      searching = false;
    }
  }
  return invalid("merging an adapter")
      .in(file)
      .of(parameter.name)
      .expects(fmt::format("merged weights within {}", type == DType::kF32    ? "float32"
                                                       : type == DType::kBF16 ? "bf16"
                                                                              : "f16 (65504)"))
      .got(std::move(found))
      .advise(type == DType::kF32 ? "the adapter's numbers or its scale are damaged: save it again"
              : type == DType::kF16 ? "write bf16 or f32 (--to)"
                                    : "write f32 (--to)");
}

// An adapter that was never trained has zeros for B.
void say_unchanged(BoundAdapter& bound) {
  const auto unchanged = std::ranges::count_if(
      bound.accounts, [](const AdapterAccount& account) { return account.change_norm == 0; });
  if (unchanged == 0) return;
  bound.notices.push_back(
      fmt::format("the adapter leaves {} of {} parameters as they are: it adds nothing but zeros",
                  unchanged, bound.accounts.size()));
}

// Adapters move weights by a fraction of their norm; a wrong alpha by many times.
void say_overwhelming(BoundAdapter& bound) {
  constexpr double kMany = 10;
  const AdapterAccount* most = nullptr;
  std::size_t count = 0;
  const auto ratio = [](const AdapterAccount& a) { return a.change_norm / a.weight_norm; };
  for (const AdapterAccount& account : bound.accounts) {
    if (!(account.weight_norm > 0 && ratio(account) > kMany)) continue;
    ++count;
    if (most == nullptr || ratio(account) > ratio(*most)) most = &account;
  }
  if (most == nullptr) return;
  bound.notices.push_back(fmt::format(
      "the adapter changes {} of {} parameters by more than {} times their norm, {} by {:.3g} "
      "times (factor {:g}): little of the base is left; is its alpha right?",
      count, bound.accounts.size(), kMany, most->parameter, ratio(*most), most->scale));
}

}  // namespace

Result<BoundAdapter> bind_adapter(const Adapter& adapter,
                                  const std::shared_ptr<const Checkpoint>& base, ThreadPool& pool) {
  QUANTLANE_TRY(WeightEdits edits, edits_of(adapter, *base, pool));
  BoundAdapter bound;
  bound.notices = adapter.notices;
  QUANTLANE_TRY(bound.merged, base->with_edits(std::move(edits)));
  for (const Parameter& parameter : base->graph()->parameters) {
    const auto delta = adapter.deltas.find(parameter.name);
    const auto replaced = adapter.replacements.find(parameter.name);
    const bool rows = adapter.rows.contains(parameter.name);
    if (delta == adapter.deltas.end() && replaced == adapter.replacements.end() && !rows) continue;
    QUANTLANE_TRY_VOID(check_cancel("merging an adapter"));
    QUANTLANE_TRY(const Weight before, base->weight(parameter));
    QUANTLANE_TRY(const Weight after, bound.merged->weight(parameter));
    const Sums sums = differences(before, after, pool);
    AdapterAccount account{.parameter = parameter.name};
    if (delta != adapter.deltas.end()) {
      account.rank = delta->second.rank;
      account.scale = delta->second.scale;
      account.dora = !delta->second.magnitude.empty();
      account.tensors = delta->second.tensors.size();
    }
    account.tensors += (replaced == adapter.replacements.end() ? 0 : 1) + (rows ? 1 : 0);
    account.weight_norm = std::sqrt(sums.weight);
    account.change_norm = std::sqrt(sums.change);
    if (!std::isfinite(account.change_norm)) {
      return fail(overflow(adapter.path.string(), parameter, before, after, DType::kF32));
    }
    bound.accounts.push_back(std::move(account));
  }
  say_unchanged(bound);
  say_overwhelming(bound);
  const bool tied = base->graph()->config.tied_embeddings;
  const Parameter* embedding = base->graph()->find(Role::kEmbedding, -1);
  if (tied && bound.merged->edited(*embedding)) {
    bound.notices.emplace_back(
        "the base ties its head to the embedding: the adapter's change of the embedding changes "
        "both");
  }
  return bound;
}

Result<void> measure_rounding(BoundAdapter& bound, const Checkpoint& base, DType type,
                              ThreadPool& pool) {
  for (AdapterAccount& account : bound.accounts) {
    QUANTLANE_TRY_VOID(check_cancel("merging an adapter"));
    const Parameter& parameter = *find_parameter(*base.graph(), account.parameter);
    QUANTLANE_TRY(const Weight merged, bound.merged->weight(parameter));
    const std::int64_t cols = merged.cols();
    const Sums sums =
        over_slices(merged.rows(), pool, [&](std::int64_t begin, std::int64_t count, Sums& part) {
          std::vector<float> values(static_cast<std::size_t>(count * cols));
          merged.decode_rows(begin, count, values.data());
          for (const float value : values) {
            part.rounding +=
                square(static_cast<double>(stored_as(value, type)) - static_cast<double>(value));
          }
        });
    if (!std::isfinite(sums.rounding)) {
      QUANTLANE_TRY(const Weight before, base.weight(parameter));
      return fail(overflow(base.path().string(), parameter, before, merged, type));
    }
    account.rounding = account.change_norm > 0 ? std::sqrt(sums.rounding) / account.change_norm : 0;
  }
  return {};
}

}  // namespace quantlane
