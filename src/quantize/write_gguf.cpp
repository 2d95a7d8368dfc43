// The GGUF writer: encodes the tensors of a plan in their order.
#include <algorithm>
#include <utility>

#include "containers/gguf_split.h"
#include "core/check.h"
#include "core/file.h"
#include "formats/code_moves.h"
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

// Rows of a quantized Linear with their codes kept.
SliceEncoder move_encoder(const QuantTensor& tensor, const BlockFormat& target, RowMap map) {
  return [&tensor, &target, map = std::move(map)](std::int64_t begin,
                                                  std::int64_t count) -> Result<SliceParts> {
    const auto row_bytes = static_cast<std::size_t>(target.row_bytes(tensor.cols));
    SliceParts parts(1);
    parts[0].resize(static_cast<std::size_t>(count) * row_bytes);
    for (std::int64_t r = 0; r < count; ++r) {
      const std::int64_t row = map.source_row ? map.source_row(begin + r) : begin + r;
      move_codes(tensor, row, target, parts[0].data() + static_cast<std::size_t>(r) * row_bytes);
    }
    return parts;
  };
}

// Rows of a tensor that stays as it is.
SliceEncoder copy_encoder(std::span<const std::byte> bytes, std::uint64_t row_bytes) {
  return [bytes, row_bytes](std::int64_t begin, std::int64_t count) -> Result<SliceParts> {
    const auto rows = bytes.subspan(static_cast<std::size_t>(begin) * row_bytes,
                                    static_cast<std::size_t>(count) * row_bytes);
    return SliceParts{{rows.begin(), rows.end()}};
  };
}

Error mixed_groups(const Checkpoint& source, const Parameter& p, const BlockFormat& target) {
  return unsupported("moving the codes of a quantized matrix")
      .in(source.path().string())
      .of(p.name)
      .expects("columns in the order of their groups: those of a " + std::string(target.name) +
               " block share a scale")
      .got("columns in the order of their activations")
      .advise(
          "quantlane quantize with --allow-requantize gives the matrix new codes and says how far "
          "they are off");
}

// How the rows of `item` become bytes; a move that the tensor's column order forbids becomes
// requantizing where that is allowed.
Result<SliceEncoder> encoder_for(const QuantizeJob& job, const GgufPlan::Item& item,
                                 const Weight& weight, Transfer& transfer) {
  const Parameter& p = *item.parameter;
  const ElementType type = item.tensor.type;
  if (transfer == Transfer::kCopy) {
    const Container& container = job.source.container();
    return copy_encoder(container.bytes(*job.source.stored(p)), type.bytes_of(p.cols));
  }
  if (transfer == Transfer::kMove) {
    const QuantTensor& tensor = *weight.quantized();
    if (groups_fit_blocks(tensor, *type.block)) {
      return move_encoder(tensor, *type.block, row_map(job.source, p));
    }
    if (!job.allow_requantize) return fail(mixed_groups(job.source, p, *type.block));
    transfer = Transfer::kRequantize;
  }
  const Algorithm* algorithm = algorithm_by_name(job.lane.algorithm);
  InputModel inputs;
  if (algorithm != nullptr && type.block != nullptr) {
    QUANTLANE_TRY(inputs, inputs_of(job, *algorithm, p.module(), p.cols));
  }
  return typed_encoder(weight, p.name, type, algorithm, std::move(inputs), row_map(job.source, p));
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
  progress.begin("quantize " + job.lane.name, total_bytes, "B");
  std::uint64_t done = 0;
  for (std::size_t index = 0; index < plan.items.size(); ++index) {
    const GgufPlan::Item& item = plan.items[index];
    if (item.parameter == nullptr) {
      QUANTLANE_TRY_VOID(writer->write(index, std::as_bytes(std::span(plan.rope_divisors))));
      continue;
    }
    const Parameter& p = *item.parameter;
    Transfer transfer = item.transfer;
    QUANTLANE_TRY(const Weight weight, source.weight(p));
    QUANTLANE_TRY(const SliceEncoder encoder, encoder_for(job, item, weight, transfer));
    QUANTLANE_TRY_VOID(
        stream_slices(p.rows, p.cols, pool, encoder, [&](const SliceParts& parts, std::int64_t) {
          done += parts[0].size();
          progress.update(done);
          return writer->write(index, parts[0]);
        }));
    if (const TensorInfo* stored = source.stored(p)) source.container().drop(*stored);
    total_values += static_cast<std::uint64_t>(p.rows * p.cols);
    if (is_linear(p.role) || p.role == Role::kEmbedding)
      ++summary.tensor_types[std::string(item.tensor.type.name())];
    if (transfer != Transfer::kEncode) summary.transfers[p.name] = transfer;
  }
  QUANTLANE_TRY_VOID(writer->commit());
  progress.end();
  summary.bits_per_weight =
      8.0 * static_cast<double>(total_bytes) / static_cast<double>(total_values);
  return summary;
}

}  // namespace quantlane
