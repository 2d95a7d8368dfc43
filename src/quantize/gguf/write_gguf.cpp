// The GGUF writer: encodes the tensors of a plan in their order.
#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "containers/gguf_split.h"
#include "core/check.h"
#include "core/file.h"
#include "formats/code_moves.h"
#include "quantize/gguf/gguf_plan.h"
#include "quantize/output_place.h"
#include "quantize/row_stream.h"

namespace quantlane {
namespace {

bool is_query_or_key(Role role) {
  return role == Role::kQuery || role == Role::kKey || role == Role::kQueryBias ||
         role == Role::kKeyBias;
}

// stored row -> logical row, the inverse of permuted_qk_row(); biases lie along the columns.
RowMap row_map(const Checkpoint& source, const Parameter& parameter) {
  RowMap map;
  const ModelConfig& config = source.graph()->config;
  if (source.architecture()->permutes_qk && is_query_or_key(parameter.role)) {
    const bool bias = !is_matrix(parameter.role);
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

bool all_zero(const BlockFormat& format, std::span<const std::byte> blocks) {
  std::vector<float> values(static_cast<std::size_t>(format.block_values));
  for (; !blocks.empty(); blocks = blocks.subspan(static_cast<std::size_t>(format.block_bytes))) {
    format.decode(blocks.data(), 1, values.data());
    if (std::ranges::any_of(values, [](float value) { return value != 0; })) return false;
  }
  return true;
}

Result<std::unique_ptr<ContainerWriter>> create_writer(const QuantizeJob& job, const GgufPlan& plan,
                                                       std::vector<fs::path>& files) {
  if (plan.shard_of.empty()) {
    files = {job.out};
    return create_gguf(job.out, plan.tensors(), plan.metadata, replaceable_gguf(job.replace));
  }
  for (std::size_t i = 0; i < plan.files(); ++i) {
    files.push_back(gguf_shard_path(job.out, i, plan.files()));
  }
  return create_split_gguf(job.out, plan.tensors(), plan.shard_of, plan.metadata,
                           replaceable_gguf(job.replace));
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
                                 const Parameter& p, const Weight& weight, float factor,
                                 Transfer& transfer, ZeroRows& zero_rows) {
  const ElementType type = item.tensor.type;
  if (transfer == Transfer::kCopy) {
    const auto [tensor, first_row] = job.source.stored(p);
    const std::uint64_t row_bytes = type.bytes_of(p.cols);
    return kept_encoder(job.source.container().bytes(*tensor).subspan(
                            static_cast<std::size_t>(first_row) * row_bytes),
                        type, p.cols, p.name);
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
  // A lane of plain floats has none, but its options may ask for blocks.
  if (algorithm == nullptr) algorithm = algorithm_by_name("rtn");
  InputModel inputs;
  if (type.block != nullptr) {
    QUANTLANE_TRY(inputs, inputs_of(job, *algorithm, p.module(), p.cols));
  }
  RowMap map = row_map(job.source, p);
  map.factor = 1 / factor;
  return typed_encoder(weight, p.name, type, algorithm, std::move(inputs), std::move(map),
                       is_linear(p.role) ? &zero_rows : nullptr);
}

class GgufWriter {
 public:
  GgufWriter(const QuantizeJob& job, const GgufPlan& plan, ThreadPool& pool, Progress& progress)
      : job_(job), plan_(plan), pool_(pool), progress_(progress) {}

  Result<QuantizeSummary> run() {
    std::uint64_t total_bytes = 0;
    for (const GgufPlan::Item& item : plan_.items) total_bytes += item.tensor.size_bytes();
    QUANTLANE_TRY(writer_, create_writer(job_, plan_, summary_.files));
    const bool kept = job_.as_stored || job_.lane.recipe->base.block == nullptr;
    progress_.begin((kept ? "write " : "quantize ") + job_.lane.name, total_bytes, "B");
    for (std::size_t index = 0; index < plan_.items.size(); ++index) {
      QUANTLANE_TRY_VOID(write_item(index));
    }
    QUANTLANE_TRY_VOID(writer_->commit());
    progress_.end();
    summary_.bits_per_weight =
        8.0 * static_cast<double>(total_bytes) / static_cast<double>(values_);
    summary_.zero_rows = zero_rows_.found();
    if (summary_.zero_rows.any()) summary_.notices.push_back(zero_rows_.notice());
    return std::move(summary_);
  }

 private:
  Result<void> write_item(std::size_t index) {
    const GgufPlan::Item& item = plan_.items[index];
    if (!item.factors_of.empty()) return write_factors(index, item.factors_of);
    if (item.parameters.empty()) {
      return writer_->write(index, std::as_bytes(std::span(plan_.rope_divisors)));
    }
    for (const Parameter* p : item.parameters) {
      QUANTLANE_TRY_VOID(write_parameter(index, item, *p));
    }
    const Role role = item.parameters.front()->role;
    if (is_linear(role) || role == Role::kEmbedding)
      ++summary_.tensor_types[std::string(item.tensor.type.name())];
    return {};
  }

  // Those of matrices that have been written, as loading each again would unpack all of it.
  Result<void> write_factors(std::size_t index, std::span<const Parameter* const> parameters) {
    std::vector<float> factors;
    for (const Parameter* p : parameters) factors.push_back(factors_.at(p));
    return writer_->write(index, std::as_bytes(std::span(factors)));
  }

  Result<void> write_parameter(std::size_t index, const GgufPlan::Item& item, const Parameter& p) {
    Transfer transfer = item.transfer;
    QUANTLANE_TRY(const Weight weight, job_.source.weight(p));
    const BlockFormat* block = item.tensor.type.block;
    const bool scales = gets_factor(p, transfer, item.tensor.type);
    const float factor = scales ? new_factor(weight, *block, pool_) : 1;
    factors_[&p] = scales ? factor : kept_factor(weight);
    const bool settles = job_.feedback != nullptr && block != nullptr;
    const bool keeps = settles && job_.journal != nullptr && transfer != Transfer::kCopy &&
                       transfer != Transfer::kMove;
    const std::string entry = keeps ? p.name + " " + std::string(block->name) : "";
    const auto earlier = keeps ? job_.journal->find(entry) : std::nullopt;
    if (earlier) return write_earlier(index, *block, p, *earlier, transfer);
    QUANTLANE_TRY(const SliceEncoder encoder,
                  encoder_for(job_, item, p, weight, factor, transfer, zero_rows_));
    std::vector<std::byte> whole;
    bool vanished = block != nullptr;
    QUANTLANE_TRY_VOID(
        stream_slices(p.rows, p.cols, pool_, encoder, [&](const SliceParts& parts, std::int64_t) {
          done_ += parts[0].size();
          progress_.update(done_);
          if (settles) whole.insert(whole.end(), parts[0].begin(), parts[0].end());
          vanished = vanished && all_zero(*block, parts[0]);
          return writer_->write(index, parts[0]);
        }));
    zero_rows_.end_matrix(p.name);
    if (keeps) QUANTLANE_TRY_VOID(job_.journal->put(entry, whole));
    if (settles) job_.feedback->settle(p.module(), decoded(p, *block, whole));
    if (vanished) note_vanished(weight, item.tensor, p.name);
    note_written(p, transfer);
    return {};
  }

  // Every value became zero: said, unless every value was.
  void note_vanished(const Weight& weight, const PlannedTensor& tensor, const std::string& name) {
    const float most = largest_value(weight, pool_);
    if (most == 0) return;
    summary_.notices.push_back(
        fmt::format("{}: its values, at most {:.1e}, are too small for {} and became zero; "
                    "--tensor-type '{}=bf16' keeps them",
                    name, most, tensor.type.name(), tensor.name));
  }

  // A matrix that an earlier, interrupted job has made.
  Result<void> write_earlier(std::size_t index, const BlockFormat& format, const Parameter& p,
                             const std::vector<std::byte>& blocks, Transfer transfer) {
    done_ += blocks.size();
    progress_.update(done_);
    QUANTLANE_TRY_VOID(writer_->write(index, blocks));
    QUANTLANE_TRY_VOID(job_.feedback->settle_earlier(p.module(), decoded(p, format, blocks)));
    note_written(p, transfer);
    return {};
  }

  void note_written(const Parameter& p, Transfer transfer) {
    job_.source.drop(p);
    values_ += static_cast<std::uint64_t>(p.rows * p.cols);
    if (transfer != Transfer::kEncode) summary_.transfers[p.name] = transfer;
  }

  // What became of the matrix, for what comes after it; `blocks`: its rows as they are stored.
  [[nodiscard]] Weight decoded(const Parameter& p, const BlockFormat& format,
                               const std::vector<std::byte>& blocks) const {
    const RowMap map = row_map(job_.source, p);
    auto values = std::make_shared<std::vector<float>>(static_cast<std::size_t>(p.rows * p.cols));
    const auto row_bytes = static_cast<std::size_t>(format.row_bytes(p.cols));
    const float factor = factors_.at(&p);
    pool_.parallel_for(p.rows, [&](std::int64_t r, int) {
      const std::int64_t logical = map.source_row ? map.source_row(r) : r;
      format.decode(blocks.data() + static_cast<std::size_t>(r) * row_bytes,
                    p.cols / format.block_values, values->data() + logical * p.cols);
      for (std::int64_t c = 0; c < p.cols; ++c)
        (*values)[static_cast<std::size_t>(logical * p.cols + c)] *= factor;
    });
    return {std::move(values), p.rows, p.cols};
  }

  const QuantizeJob& job_;
  const GgufPlan& plan_;
  ThreadPool& pool_;
  Progress& progress_;
  std::unique_ptr<ContainerWriter> writer_;
  QuantizeSummary summary_;
  ZeroRows zero_rows_;
  std::map<const Parameter*, float> factors_;  // kept_factor() of what has been written
  std::uint64_t done_ = 0;
  std::uint64_t values_ = 0;
};

}  // namespace

Result<QuantizeSummary> write_gguf(const QuantizeJob& job, const GgufPlan& plan, ThreadPool& pool,
                                   Progress& progress) {
  QUANTLANE_TRY(QuantizeSummary summary, GgufWriter(job, plan, pool, progress).run());
  summary.notices.insert(summary.notices.begin(), plan.notices.begin(), plan.notices.end());
  return summary;
}

}  // namespace quantlane
