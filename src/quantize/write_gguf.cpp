// The GGUF writer: encodes the tensors of a plan in their order.
#include <algorithm>
#include <utility>

#include "containers/gguf_split.h"
#include "core/check.h"
#include "core/file.h"
#include "quantize/gguf_plan.h"
#include "quantize/row_stream.h"

namespace quantlane {
namespace {

bool is_norm(Role role) { return role >= Role::kAttentionNorm && role <= Role::kFinalNorm; }

bool is_query_or_key(Role role) {
  return role == Role::kQuery || role == Role::kKey || role == Role::kQueryBias ||
         role == Role::kKeyBias;
}

// stored row -> logical row, the inverse of permuted_qk_row(); biases lie along the columns.
RowMap row_map(const Checkpoint& source, const Parameter& parameter) {
  RowMap map;
  const ModelConfig& config = source.graph()->config;
  if (source.architecture()->permutes_qk && is_query_or_key(parameter.role)) {
    const bool bias = !is_linear(parameter.role);
    std::vector<std::int64_t> logical(
        static_cast<std::size_t>(bias ? parameter.cols : parameter.rows));
    for (std::size_t i = 0; i < logical.size(); ++i) {
      const auto row = static_cast<std::int64_t>(i);
      logical[static_cast<std::size_t>(permuted_qk_row(row, config.head_dim))] = row;
    }
    if (bias) {
      map.source_column = std::move(logical);
    } else {
      map.source_row = [logical = std::move(logical)](std::int64_t r) {
        return logical[static_cast<std::size_t>(r)];
      };
    }
  }
  if (config.norm_plus_one && is_norm(parameter.role)) map.shift = 1;
  return map;
}

Result<std::unique_ptr<ContainerWriter>> create_writer(const QuantizeJob& job, const GgufPlan& plan,
                                                       std::vector<fs::path>& files) {
  if (plan.shard_of.empty()) {
    files = {job.out};
    return create_gguf(job.out, plan.tensors(), plan.metadata);
  }
  for (std::size_t i = 0; i < plan.files(); ++i) {
    files.push_back(gguf_shard_path(job.out, i, plan.files()));
  }
  return create_split_gguf(job.out, plan.tensors(), plan.shard_of, plan.metadata);
}

}  // namespace

Result<QuantizeSummary> write_gguf(const QuantizeJob& job, ThreadPool& pool, Progress& progress) {
  const Checkpoint& source = job.source;
  QuantizeSummary summary;
  QUANTLANE_TRY(GgufPlan plan, plan_gguf(job));
  summary.notices = std::move(plan.notices);
  std::uint64_t total_bytes = 0;
  std::uint64_t total_values = 0;
  for (const GgufPlan::Item& item : plan.items) total_bytes += item.tensor.size_bytes();
  QUANTLANE_TRY(const auto writer, create_writer(job, plan, summary.files));
  const Algorithm* algorithm = algorithm_by_name(job.lane.algorithm);
  progress.begin("quantize " + job.lane.name, total_bytes, "B");
  std::uint64_t done = 0;
  for (std::size_t index = 0; index < plan.items.size(); ++index) {
    if (plan.items[index].parameter == nullptr) {
      QUANTLANE_TRY_VOID(writer->write(index, std::as_bytes(std::span(plan.rope_divisors))));
      continue;
    }
    const Parameter& p = *plan.items[index].parameter;
    const ElementType type = plan.items[index].tensor.type;
    QUANTLANE_TRY(const Weight weight, source.weight(p));
    const auto encoder =
        typed_encoder(weight, p.name, type, algorithm,
                      importance_for(job, algorithm, p.module(), p.cols), row_map(source, p));
    QUANTLANE_TRY_VOID(
        stream_slices(p.rows, p.cols, pool, encoder, [&](const SliceParts& parts, std::int64_t) {
          done += parts[0].size();
          progress.update(done);
          return writer->write(index, parts[0]);
        }));
    if (const TensorInfo* stored = source.stored(p)) source.container().drop(*stored);
    total_values += static_cast<std::uint64_t>(p.rows * p.cols);
    if (is_linear(p.role) || p.role == Role::kEmbedding)
      ++summary.tensor_types[std::string(type.name())];
  }
  QUANTLANE_TRY_VOID(writer->commit());
  progress.end();
  summary.bits_per_weight =
      8.0 * static_cast<double>(total_bytes) / static_cast<double>(total_values);
  return summary;
}

}  // namespace quantlane
