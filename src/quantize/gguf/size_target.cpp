#include "quantize/gguf/size_target.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "containers/gguf_split.h"
#include "core/check.h"
#include "quantize/gguf/allocate.h"
#include "quantize/gguf/gguf_plan.h"
#include "quantize/gguf/type_options.h"
#include "runtime/runtime.h"

namespace quantlane {
namespace {

std::uint64_t parameter_count(const GgufPlan& plan) {
  std::uint64_t values = 0;
  for (const GgufPlan::Item& item : plan.items) {
    for (const Parameter* p : item.parameters) {
      values += static_cast<std::uint64_t>(p->rows * p->cols);
    }
  }
  return values;
}

std::uint64_t tensor_budget(const GgufPlan& plan, const SizeTarget& size) {
  if (size.bits_per_weight > 0) {
    return static_cast<std::uint64_t>(
        std::floor(size.bits_per_weight / 8 * static_cast<double>(parameter_count(plan))));
  }
  const std::uint64_t around = gguf_header_bytes(plan.tensors(), plan.metadata) +
                               (gguf_alignment(plan.metadata) - 1) * (plan.items.size() + 1);
  return size.bytes > around ? size.bytes - around : 0;
}

std::string exactly(std::string_view name) {
  std::string pattern = "^";
  for (const char c : name) pattern += c == '.' ? "\\." : std::string(1, c);
  return pattern + "$";
}

std::string size_text(std::uint64_t bytes, const GgufPlan& plan) {
  return fmt::format("{} bytes of tensors, {:.3f} bits per weight", bytes,
                     8 * static_cast<double>(bytes) / static_cast<double>(parameter_count(plan)));
}

Error too_small(const QuantizeJob& job, const GgufPlan& plan, std::uint64_t budget,
                std::uint64_t least) {
  return make_error(ErrorCode::kInfeasible, "choosing types for a size")
      .in(job.source.path().string())
      .expects("at most " + size_text(budget, plan))
      .got(size_text(least, plan) + " with the smallest types that fit the widths")
      .advise("ask for a larger file; the smallest types need widths that are multiples of 256");
}

}  // namespace

Result<RecipeRequest> request_for_size(const QuantizeJob& job,
                                       const std::shared_ptr<const Checkpoint>& checkpoint,
                                       const TokenChunks& chunks, ThreadPool& pool,
                                       Progress& progress) {
  QUANTLANE_TRY(const GgufPlan plan, plan_gguf(job));
  const std::uint64_t budget = tensor_budget(plan, job.lane.size);
  std::uint64_t fixed = 0;
  for (const GgufPlan::Item& item : plan.items) fixed += item.tensor.size_bytes();
  std::uint64_t least = 0;
  std::uint64_t most = 0;
  std::vector<MatrixOptions> matrices = list_type_options(job, plan);
  for (const MatrixOptions& matrix : matrices) {
    fixed -= plan.items[matrix.item].tensor.size_bytes();
    least += std::ranges::min(matrix.options, {}, &TypeOption::bytes).bytes;
    most += std::ranges::max(matrix.options, {}, &TypeOption::bytes).bytes;
  }
  if (fixed + most < budget) {
    progress.notice(job.lane.name + ": the size leaves room for more than the largest types: " +
                    size_text(fixed + most, plan));
  }
  if (fixed + least > budget) return fail(too_small(job, plan, budget, fixed + least));
  QUANTLANE_TRY(const auto runtime, Runtime::load(checkpoint));
  QUANTLANE_TRY(matrices, measure_type_options(job, plan, std::move(matrices), *runtime, chunks,
                                               pool, progress));
  std::vector<std::vector<TypeOption>> options;
  for (const MatrixOptions& matrix : matrices) options.push_back(matrix.options);
  const auto chosen = allocate(options, budget - fixed);
  QUANTLANE_CHECK(chosen.has_value());
  RecipeRequest request = job.request;
  for (std::size_t m = 0; m < matrices.size(); ++m) {
    request.overrides.push_back({.pattern = exactly(plan.items[matrices[m].item].tensor.name),
                                 .type = {.block = matrices[m].types[(*chosen)[m]]}});
  }
  return request;
}

}  // namespace quantlane
