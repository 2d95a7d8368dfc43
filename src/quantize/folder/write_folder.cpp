// The Hugging Face folder writer: the tensors of each source shard in their order, quantized
// Linears replaced by what the dialect stores; configuration, tokenizer and all small files copied.
#include <algorithm>
#include <iterator>
#include <numeric>
#include <utility>

#include "containers/dialects/part_collector.h"
#include "core/atomic_directory.h"
#include "core/check.h"
#include "core/file.h"
#include "formats/scheme_moves.h"
#include "quantize/folder/companion_files.h"
#include "quantize/folder/folder_plan.h"
#include "quantize/folder/kept_codes.h"
#include "quantize/folder/kv_tensors.h"
#include "quantize/linear_scales.h"
#include "quantize/output_place.h"
#include "quantize/pipeline.h"
#include "quantize/raw_values.h"
#include "quantize/row_stream.h"

namespace quantlane {
namespace {

// Rows of one slice with error feedback: many small ones, for the work in a slice is long.
constexpr std::int64_t kFeedbackRows = 64;

std::string output_name(std::uint32_t shard, std::size_t shards) {
  if (shards == 1) return "model.safetensors";
  char name[64];
  std::snprintf(name, sizeof(name), "model-%05u-of-%05zu.safetensors", shard + 1, shards);
  return name;
}

class FolderWriter {
 public:
  FolderWriter(const QuantizeJob& job, const std::vector<FolderItem>& items, ThreadPool& pool,
               Progress& progress)
      : job_(job),
        items_(items),
        weight_scales_(searches_scales(job), job.feedback == nullptr ? job.statistics : nullptr,
                       pool),
        pool_(pool),
        progress_(progress) {
    for (const FolderItem& item : items_) {
      shards_ = std::max<std::size_t>(shards_, item.shard + std::size_t{1});
      if (item.quantized) weight_scales_.add(module_of(item.name), item.weight, item.scheme.weight);
    }
  }

  Result<QuantizeSummary> run() {
    QUANTLANE_TRY(AtomicDirectory directory,
                  AtomicDirectory::create(job_.out, replaceable_folder(job_.replace)));
    std::uint64_t total = 0;
    for (const FolderItem& item : items_) total += source_bytes(item);
    progress_.begin((job_.lane.dialect != nullptr ? "quantize " : "write ") + job_.lane.name, total,
                    "B");
    QUANTLANE_TRY_VOID(write_shards(directory.path()));
    if (shards_ > 1) QUANTLANE_TRY_VOID(write_index(directory.path()));
    QUANTLANE_TRY_VOID(write_companion_files(job_.source, job_.lane,
                                             quantization_config(job_, items_), directory.path()));
    QUANTLANE_TRY_VOID(directory.commit());
    progress_.end();
    summary_.bits_per_weight = 8.0 * static_cast<double>(written_) / static_cast<double>(values_);
    summary_.zero_rows = zero_rows_.found();
    if (summary_.zero_rows.any()) summary_.notices.push_back(zero_rows_.notice());
    std::ranges::copy(vanished_.notices(), std::back_inserter(summary_.notices));
    return std::move(summary_);
  }

 private:
  static std::uint64_t source_bytes(const FolderItem& item) {
    if (!item.weight.valid()) return item.raw->size_bytes;
    const ElementType type = item.raw != nullptr ? item.raw->type : ElementType{DType::kBF16};
    return type.bytes_of(item.weight.cols()) * static_cast<std::uint64_t>(item.weight.rows());
  }

  [[nodiscard]] const DialectWriter& dialect_writer() const { return *job_.lane.dialect->writer; }

  [[nodiscard]] std::uint32_t last_shard() const { return static_cast<std::uint32_t>(shards_ - 1); }

  // One file for each shard of the source, all open at once: error feedback goes by layers, which
  // lie across shards in any order.
  Result<void> write_shards(const fs::path& folder) {
    std::vector<std::vector<PlannedTensor>> plans(shards_);
    std::vector<std::size_t> first(items_.size());  // tensor of each item in its shard
    for (std::size_t i = 0; i < items_.size(); ++i) {
      auto& plan = plans[items_[i].shard];
      first[i] = plan.size();
      for (PlannedTensor& tensor : planned_tensors(job_, items_[i])) {
        written_ += tensor.size_bytes();
        if (shards_ > 1) weight_map_.set(tensor.name, output_name(items_[i].shard, shards_));
        plan.push_back(std::move(tensor));
      }
    }
    // Scales of the key-value cache follow everything else.
    const std::size_t first_kv = plans.back().size();
    for (PlannedTensor& tensor : planned_kv_tensors(job_)) {
      written_ += tensor.size_bytes();
      if (shards_ > 1) weight_map_.set(tensor.name, output_name(last_shard(), shards_));
      plans.back().push_back(std::move(tensor));
    }
    std::vector<std::unique_ptr<ContainerWriter>> writers;
    for (std::uint32_t shard = 0; shard < shards_; ++shard) {
      QUANTLANE_TRY(auto writer,
                    create_safetensors(folder / output_name(shard, shards_), plans[shard], {}));
      writers.push_back(std::move(writer));
    }
    for (const std::size_t i : order_of_items()) {
      QUANTLANE_TRY_VOID(write_item(*writers[items_[i].shard], first[i], items_[i]));
      done_ += source_bytes(items_[i]);
      progress_.update(done_);
    }
    for (std::size_t i = first_kv; i < plans.back().size(); ++i) {
      QUANTLANE_TRY_VOID(writers.back()->write(i, kv_tensor_bytes(job_, i - first_kv)));
    }
    for (const auto& writer : writers) QUANTLANE_TRY_VOID(writer->commit());
    return {};
  }

  // As they lie in the source; with error feedback in the order in which the model computes.
  [[nodiscard]] std::vector<std::size_t> order_of_items() const {
    std::vector<std::size_t> order(items_.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    if (job_.feedback == nullptr || job_.source.graph() == nullptr) return order;
    std::map<std::string_view, std::pair<std::int64_t, int>> place;
    for (const Parameter& p : job_.source.graph()->parameters) {
      if (!is_linear(p.role) || p.layer < 0) continue;
      place[p.name] = {p.layer, static_cast<int>(stage_of(p.role))};
    }
    const auto place_of = [&](std::size_t i) {
      const auto found = place.find(items_[i].name);
      return found == place.end() ? std::pair<std::int64_t, int>{-1, 0} : found->second;
    };
    std::ranges::stable_sort(order, {}, place_of);
    return order;
  }

  Result<void> write_item(ContainerWriter& writer, std::size_t index, const FolderItem& item) {
    values_ += values_of(item);
    if (!item.weight.valid()) {
      return copy_raw(writer, index, *item.raw);
    }
    return item.quantized ? write_linear(writer, index, item) : write_plain(writer, index, item);
  }

  // In pieces: an embedding may be larger than the memory.
  Result<void> copy_raw(ContainerWriter& writer, std::size_t index,
                        const TensorInfo& tensor) const {
    constexpr std::size_t kPiece = std::size_t{16} << 20;
    const Container& container = job_.source.container();
    const auto bytes = container.bytes(tensor);
    for (std::size_t at = 0; at < bytes.size(); at += kPiece) {
      const std::size_t size = std::min(kPiece, bytes.size() - at);
      const auto piece = bytes.subspan(at, size);
      const std::int64_t cols = tensor.shape.size() < 2 ? 0 : tensor.shape.back();
      QUANTLANE_TRY_VOID(check_raw_values(tensor.type, piece, tensor.name,
                                          static_cast<std::int64_t>(at / tensor.type.bytes_of(1)),
                                          cols));
      QUANTLANE_TRY_VOID(writer.write(index, piece));
      container.drop(tensor, at, size);
    }
    return {};
  }

  Result<void> write_linear(ContainerWriter& output, std::size_t index, const FolderItem& item) {
    const Algorithm* algorithm = algorithm_by_name(job_.lane.algorithm);
    const std::string module = module_of(item.name);
    QUANTLANE_TRY(const LinearScheme scheme, scheme_of(item));
    const std::string entry = module + " " + scheme.weight.spelling();
    // What follows sees the outputs of the new weight.
    std::shared_ptr<QuantTensor> whole;
    if (job_.journal != nullptr) whole = whole_tensor(scheme.weight, item.weight);
    const bool earlier = whole != nullptr && job_.journal->find(entry, *whole);
    SliceEncoder encoder;
    QuantTensor moved;
    if (item.moves) {
      moved = moved_to(scheme.weight, *item.weight.quantized());
      encoder = kept_encoder(moved, dialect_writer(), scheme);
    } else if (earlier) {
      QUANTLANE_TRY_VOID(job_.feedback->settle_earlier(module, Weight(whole, scheme.input)));
      encoder = kept_encoder(*whole, dialect_writer(), scheme);
    } else {
      QUANTLANE_TRY(InputModel inputs,
                    inputs_of(job_, *algorithm, module, item.weight.cols(),
                              {.group = feedback_group(item), .input = scheme.input}));
      inputs.tensor_scale = weight_scales_.of(module);
      if (inputs.feedback == nullptr) whole = nullptr;
      encoder = linear_encoder(item.weight, module, dialect_writer(), scheme, *algorithm,
                               std::move(inputs), whole, &zero_rows_, &vanished_);
    }
    const std::int64_t most_rows = whole != nullptr ? kFeedbackRows : item.weight.rows();
    const std::vector<PlannedPart> plan = planned_parts(job_, item);
    // The first part streams to disk where rows follow each other there; the others (scales, or a
    // matrix that is stored transposed) wait until they are complete.
    const std::size_t streamed = plan[0].axis == SliceAxis::kRows ? 1 : 0;
    std::vector<PartCollector> rest;
    for (std::size_t i = streamed; i < plan.size(); ++i) rest.emplace_back(plan[i]);
    const std::uint64_t row_bytes =
        item.raw != nullptr ? item.raw->type.bytes_of(item.weight.cols()) : 0;
    const std::uint64_t first = row_bytes * static_cast<std::uint64_t>(item.first_row);
    std::uint64_t dropped = 0;
    const auto sink = [&](const SliceParts& parts, std::int64_t rows_done) -> Result<void> {
      for (std::size_t i = 0; i < rest.size(); ++i) rest[i].add(parts[i + streamed]);
      if (item.raw != nullptr) {
        const std::uint64_t reached = row_bytes * static_cast<std::uint64_t>(rows_done);
        job_.source.container().drop(*item.raw, first + dropped, reached - dropped);
        progress_.update(done_ + reached);
        dropped = reached;
      }
      return streamed == 1 ? output.write(index, parts[0]) : Result<void>();
    };
    QUANTLANE_TRY_VOID(stream_slices(item.weight.rows(), item.weight.cols(), pool_, encoder, sink,
                                     dialect_writer().row_multiple(scheme), most_rows));
    zero_rows_.end_matrix(item.name);
    vanished_.end_matrix(item.name, scheme.weight);
    if (whole != nullptr && !earlier) {
      QUANTLANE_TRY_VOID(job_.journal->put(entry, *whole));
      job_.feedback->settle(module, Weight(whole, scheme.input));
    }
    std::vector<std::vector<std::byte>> parts_of_whole(plan.size());
    for (std::size_t i = 0; i < rest.size(); ++i) {
      parts_of_whole[streamed + i] = rest[i].take();
    }
    if (dialect_writer().finish != nullptr) {
      dialect_writer().finish(scheme, item.weight.rows(), item.weight.cols(), parts_of_whole);
    }
    for (std::size_t i = streamed; i < plan.size(); ++i) {
      QUANTLANE_TRY_VOID(output.write(index + i, parts_of_whole[i]));
    }
    ++summary_.tensor_types[scheme.weight.spelling()];
    note_transfer(item, item.moves ? Transfer::kMove : Transfer::kRequantize);
    return {};
  }

  Result<void> write_plain(ContainerWriter& writer, std::size_t index, const FolderItem& item) {
    const auto encoder =
        typed_encoder(item.weight, item.name, plain_type(job_, item), nullptr, {}, {});
    QUANTLANE_TRY_VOID(stream_slices(
        item.weight.rows(), item.weight.cols(), pool_, encoder,
        [&](const SliceParts& parts, std::int64_t) { return writer.write(index, parts[0]); }));
    if (job_.lane.plain) ++summary_.tensor_types[std::string(plain_type(job_, item).name())];
    note_transfer(item, Transfer::kDequantize);
    return {};
  }

  void note_transfer(const FolderItem& item, Transfer transfer) {
    if (item.weight.is_quantized()) {
      summary_.transfers[item.name] = transfer;
    }
  }

  Result<void> write_index(const fs::path& folder) {
    Json index;
    index.set("metadata", Json::object({{"total_size", static_cast<std::int64_t>(written_)}}));
    index.set("weight_map", weight_map_);
    return write_text(folder / "model.safetensors.index.json", index.dump(2) + "\n");
  }

  static bool searches_scales(const QuantizeJob& job) {
    const Algorithm* algorithm = algorithm_by_name(job.lane.algorithm);
    return algorithm != nullptr && algorithm->wants_statistics;
  }

  // Columns that are settled together; all of a row where scales do not belong to groups.
  static std::int64_t feedback_group(const FolderItem& item) {
    const Scheme& scheme = item.scheme.weight;
    return scheme.granularity == Granularity::kGroup ? scheme.group_size : item.weight.cols();
  }

  // The scheme with what calibration says of the inputs of the Linear, or the source where its
  // codes are kept.
  [[nodiscard]] Result<LinearScheme> scheme_of(const FolderItem& item) const {
    const std::string module = module_of(item.name);
    LinearScheme scheme = item.scheme;
    if (!scheme.input || !scheme.input->calibrated()) return scheme;
    if (const auto kept = kept_input(job_, item))
      return LinearScheme{.weight = scheme.weight, .input = kept};
    if (job_.statistics != nullptr) {
      const auto found = job_.statistics->modules().find(module);
      if (found != job_.statistics->modules().end())
        scheme.input->static_scale = input_scale_for(*scheme.input, found->second);
    }
    if (scheme.input->static_scale > 0) return scheme;
    return fail(invalid("quantizing to " + job_.lane.name)
                    .in(job_.source.path().string())
                    .of(module)
                    .expects("statistics with the largest magnitudes of its inputs")
                    .got(job_.statistics == nullptr ? "none" : "none for this Linear")
                    .advise("let the lane calibrate itself: quantlane quantize without --data-free "
                            "and --statistics"));
  }

  const QuantizeJob& job_;
  const std::vector<FolderItem>& items_;
  WeightScales weight_scales_;
  ThreadPool& pool_;
  Progress& progress_;
  QuantizeSummary summary_;
  ZeroRows zero_rows_;
  VanishedGroups vanished_;
  Json weight_map_;
  std::size_t shards_ = 1;
  std::uint64_t written_ = 0;
  std::uint64_t values_ = 0;
  std::uint64_t done_ = 0;
};

}  // namespace

Result<QuantizeSummary> write_folder(const QuantizeJob& job, const FolderPlan& plan,
                                     ThreadPool& pool, Progress& progress) {
  FolderWriter writer(job, plan.items, pool, progress);
  QUANTLANE_TRY(QuantizeSummary summary, writer.run());
  summary.notices.insert(summary.notices.begin(), plan.notices.begin(), plan.notices.end());
  return summary;
}

}  // namespace quantlane
