// The Hugging Face folder writer: the tensors of each source shard in their order, quantized
// Linears replaced by what the dialect stores; configuration, tokenizer and all small files copied.
#include <algorithm>
#include <numeric>
#include <utility>

#include "containers/dialects/part_collector.h"
#include "core/check.h"
#include "core/file.h"
#include "quantize/companion_files.h"
#include "quantize/kv_tensors.h"
#include "quantize/linear_scales.h"
#include "quantize/pipeline.h"
#include "quantize/row_stream.h"

namespace quantlane {
namespace {

// One tensor of the source (or one parameter, where the source holds it in another form) on its
// way.
struct Item {
  std::string name;  // output tensor name, or "<module>.weight" of a quantized Linear
  std::uint32_t shard = 0;
  Weight weight;  // empty: raw bytes of `raw` are copied
  const TensorInfo* raw = nullptr;
  std::int64_t first_row = 0;  // of `raw` that is the weight's
  std::vector<std::int64_t> shape;
  bool quantized = false;
};

// Rows of one slice with error feedback: many small ones, for the work in a slice is long.
constexpr std::int64_t kFeedbackRows = 64;

std::string module_of(const std::string& tensor_name) {
  constexpr std::string_view kSuffix = ".weight";
  return tensor_name.ends_with(kSuffix) ? tensor_name.substr(0, tensor_name.size() - kSuffix.size())
                                        : tensor_name;
}

// A matrix that llm-compressor's "Linear" targets would reach, judged by its name alone.
bool looks_like_linear(const TensorInfo& tensor) {
  if (tensor.shape.size() != 2 || !tensor.name.ends_with(".weight") || !is_float(tensor.type.plain))
    return false;
  for (const std::string_view kept :
       {"embed", "lm_head", "norm", "wte", "wpe", "router", ".gate.weight"}) {
    if (tensor.name.find(kept) != std::string::npos) return false;
  }
  return true;
}

// What each stored tensor of a plain folder holds.
std::map<const TensorInfo*, std::vector<const Parameter*>> parameters_of_tensors(
    const Checkpoint& source) {
  std::map<const TensorInfo*, std::vector<const Parameter*>> held;
  if (source.graph() == nullptr) return held;
  for (const Parameter& p : source.graph()->parameters) held[source.stored(p).tensor].push_back(&p);
  return held;
}

// Linears of the blocks are quantized; the head is not (every engine expects it so), nor is the
// router. Experts that share a tensor become Linears of their own: engines read them so.
Result<void> add_linears(const QuantizeJob& job, const TensorInfo& tensor,
                         const std::vector<const Parameter*>& held, std::vector<Item>& items) {
  for (const Parameter* p : held) {
    Item item{.name = p->name,
              .shard = tensor.shard,
              .weight = {},
              .raw = &tensor,
              .first_row = job.source.stored(*p).first_row,
              .shape = {p->rows, p->cols},
              .quantized = job.lane.dialect != nullptr && is_block_linear(p->role)};
    if (item.quantized || job.lane.plain || job.source.edited(*p)) {
      QUANTLANE_TRY(item.weight, job.source.weight(*p));
    }
    items.push_back(std::move(item));
  }
  return {};
}

// Source tensors as they are stored: a plain Hugging Face folder.
Result<std::vector<Item>> items_of_tensors(const QuantizeJob& job) {
  const auto held = parameters_of_tensors(job.source);
  const Container& container = job.source.container();
  std::vector<Item> items;
  for (const TensorInfo& tensor : container.tensors()) {
    const auto it = held.find(&tensor);
    if (job.lane.dialect != nullptr && it != held.end() && is_matrix(it->second.front()->role)) {
      QUANTLANE_TRY_VOID(add_linears(job, tensor, it->second, items));
      continue;
    }
    Item item{.name = tensor.name,
              .shard = tensor.shard,
              .weight = {},
              .raw = &tensor,
              .shape = tensor.shape};
    item.quantized =
        job.lane.dialect != nullptr && job.source.graph() == nullptr && looks_like_linear(tensor);
    const bool edited =
        it != held.end() &&
        std::ranges::any_of(it->second, [&](const Parameter* p) { return job.source.edited(*p); });
    if (edited && it->second.size() == 1) {
      QUANTLANE_TRY(item.weight, job.source.weight(*it->second.front()));
    } else if (edited) {
      // Experts that share a tensor: the edited ones stand apart.
      QUANTLANE_TRY_VOID(add_linears(job, tensor, it->second, items));
      continue;
    } else if (item.quantized || (job.lane.plain && is_float(tensor.type.plain))) {
      item.weight = Weight(&container, &tensor);
    }
    items.push_back(std::move(item));
  }
  return items;
}

// Parameters of the graph, decoded: GGUF and quantized folders.
Result<std::vector<Item>> items_of_parameters(const QuantizeJob& job) {
  std::vector<Item> items;
  const Graph& graph = *job.source.graph();
  for (const Parameter& p : graph.parameters) {
    Item item{.name = p.name, .shard = 0, .weight = {}, .raw = nullptr, .shape = {}};
    QUANTLANE_TRY(item.weight, job.source.weight(p));
    item.shape = is_matrix(p.role) ? std::vector<std::int64_t>{p.rows, p.cols}
                                   : std::vector<std::int64_t>{p.cols};
    item.quantized = job.lane.dialect != nullptr && is_block_linear(p.role);
    items.push_back(std::move(item));
  }
  return items;
}

// The group size for all Linears: the wanted one, or the largest of 64 and 32 that divides every
// width.
Result<LinearScheme> fit_group_size(const QuantizeJob& job, const std::vector<Item>& items,
                                    std::vector<std::string>& notices) {
  LinearScheme scheme = job.lane.scheme;
  job.lane.dialect->writer->complete(scheme, job.source.model_dtype());
  if (scheme.weight.granularity != Granularity::kGroup) return scheme;
  for (const int group : {scheme.weight.group_size, 64, 32}) {
    if (group > scheme.weight.group_size) continue;
    const auto misfit = std::ranges::find_if(items, [group](const Item& item) {
      return item.quantized && item.weight.cols() % group != 0;
    });
    if (misfit == items.end()) {
      scheme.weight.group_size = group;
      return scheme;
    }
    notices.push_back("group size " + std::to_string(group) + " does not divide the " +
                      std::to_string(misfit->weight.cols()) + " columns of " + misfit->name);
  }
  return fail(unsupported("choosing a group size for " + job.lane.name)
                  .in(job.source.path().string())
                  .expects("widths that 32 divides")
                  .got(notices.back())
                  .advise("use a per-channel lane (fp8, w8a8) or a GGUF lane"));
}

Result<void> check_dialect(const QuantizeJob& job, const std::vector<Item>& items,
                           const LinearScheme& scheme) {
  bool any = false;
  for (const Item& item : items) {
    if (!item.quantized) continue;
    any = true;
    if (const auto reason =
            job.lane.dialect->writer->cannot_hold(scheme, item.weight.rows(), item.weight.cols())) {
      return fail(unsupported("quantizing to " + job.lane.name)
                      .in(job.source.path().string())
                      .of(item.name)
                      .got(*reason));
    }
  }
  if (!any) {
    return fail(invalid("quantizing to " + job.lane.name)
                    .in(job.source.path().string())
                    .expects("at least one Linear to quantize")
                    .got("none"));
  }
  return {};
}

std::uint64_t values_of(const Item& item) {
  return static_cast<std::uint64_t>(item.weight.valid() ? item.weight.rows() * item.weight.cols()
                                                        : item.raw->element_count());
}

ElementType plain_type(const QuantizeJob& job, const Item& item) {
  if (job.lane.plain) return {.plain = *job.lane.plain};
  return item.raw != nullptr ? item.raw->type : ElementType{.plain = DType::kBF16};
}

std::vector<PlannedPart> planned_parts(const QuantizeJob& job, const LinearScheme& scheme,
                                       const Item& item) {
  return job.lane.dialect->writer->plan(module_of(item.name), scheme, item.weight.rows(),
                                        item.weight.cols());
}

// The tensors that the item becomes.
std::vector<PlannedTensor> planned(const QuantizeJob& job, const LinearScheme& scheme,
                                   const Item& item) {
  if (item.quantized) {
    std::vector<PlannedTensor> tensors;
    for (PlannedPart& part : planned_parts(job, scheme, item)) {
      tensors.push_back(std::move(part.tensor));
    }
    return tensors;
  }
  return {{.name = item.name,
           .type = item.weight.valid() ? plain_type(job, item) : item.raw->type,
           .shape = item.shape}};
}

struct Choice {
  std::vector<Item> items;
  LinearScheme scheme;
  std::vector<std::string> notices;
};

Result<Choice> choose(const QuantizeJob& job) {
  const bool stored_plain =
      job.source.quantization() == nullptr && !job.source.config_json().is_null();
  Choice choice;
  QUANTLANE_TRY(choice.items, stored_plain ? items_of_tensors(job) : items_of_parameters(job));
  if (job.lane.dialect == nullptr) return choice;
  QUANTLANE_TRY(choice.scheme, fit_group_size(job, choice.items, choice.notices));
  QUANTLANE_TRY_VOID(check_dialect(job, choice.items, choice.scheme));
  if (!choice.notices.empty()) choice.notices.push_back("using " + choice.scheme.weight.spelling());
  return choice;
}

// Every matrix that a reader might take for a quantized Linear but is stored plain is ignored.
Json quantization_config(const QuantizeJob& job, const std::vector<Item>& items,
                         const LinearScheme& scheme) {
  if (job.lane.dialect == nullptr) return {};
  std::vector<std::string> ignore;
  for (const Item& item : items) {
    const bool matrix = item.shape.size() == 2 && item.name.ends_with(".weight");
    if (matrix && !item.quantized && item.name.find("embed") == std::string::npos)
      ignore.push_back(module_of(item.name));
  }
  // Tied models have no head tensor, but engines still ask whether "lm_head" is quantized.
  if (std::ranges::find(ignore, "lm_head") == ignore.end()) ignore.emplace_back("lm_head");
  Json config = job.lane.dialect->writer->write_config(scheme, ignore);
  if (job.kv != nullptr) job.lane.dialect->writer->set_kv(config, *job.kv->scheme);
  return config;
}

// What config.json will say, as far as engines decide by it.
Json planned_config(const QuantizeJob& job, const Choice& choice) {
  Json config = job.source.config_json();
  if (config.is_null())
    config = job.source.architecture()->to_hugging_face(job.source.graph()->config);
  config.erase("quantization_config");
  Json quantization = quantization_config(job, choice.items, choice.scheme);
  if (!quantization.is_null()) config.set("quantization_config", std::move(quantization));
  return config;
}

std::string output_name(std::uint32_t shard, std::size_t shards) {
  if (shards == 1) return "model.safetensors";
  char name[64];
  std::snprintf(name, sizeof(name), "model-%05u-of-%05zu.safetensors", shard + 1, shards);
  return name;
}

class FolderWriter {
 public:
  FolderWriter(const QuantizeJob& job, std::vector<Item> items, LinearScheme scheme,
               ThreadPool& pool, Progress& progress)
      : job_(job),
        items_(std::move(items)),
        scheme_(scheme),
        weight_scales_(scheme.weight, searches_scales(job),
                       job.feedback == nullptr ? job.statistics : nullptr, pool),
        pool_(pool),
        progress_(progress) {
    for (const Item& item : items_) {
      shards_ = std::max<std::size_t>(shards_, item.shard + std::size_t{1});
      if (item.quantized) weight_scales_.add(module_of(item.name), item.weight);
    }
  }

  Result<QuantizeSummary> run() {
    QUANTLANE_TRY(AtomicDirectory directory, AtomicDirectory::create(job_.out));
    std::uint64_t total = 0;
    for (const Item& item : items_) total += source_bytes(item);
    progress_.begin((job_.lane.dialect != nullptr ? "quantize " : "write ") + job_.lane.name, total,
                    "B");
    QUANTLANE_TRY_VOID(write_shards(directory.path()));
    if (shards_ > 1) QUANTLANE_TRY_VOID(write_index(directory.path()));
    QUANTLANE_TRY_VOID(write_companion_files(
        job_.source, job_.lane, quantization_config(job_, items_, scheme_), directory.path()));
    QUANTLANE_TRY_VOID(directory.commit());
    progress_.end();
    summary_.bits_per_weight = 8.0 * static_cast<double>(written_) / static_cast<double>(values_);
    return std::move(summary_);
  }

 private:
  static std::uint64_t source_bytes(const Item& item) {
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
      for (PlannedTensor& tensor : planned(job_, scheme_, items_[i])) {
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

  Result<void> write_item(ContainerWriter& writer, std::size_t index, const Item& item) {
    values_ += values_of(item);
    if (!item.weight.valid()) {
      QUANTLANE_TRY_VOID(writer.write(index, job_.source.container().bytes(*item.raw)));
      job_.source.container().drop(*item.raw);
      return {};
    }
    return item.quantized ? write_linear(writer, index, item) : write_plain(writer, index, item);
  }

  Result<void> write_linear(ContainerWriter& output, std::size_t index, const Item& item) {
    const Algorithm* algorithm = algorithm_by_name(job_.lane.algorithm);
    const std::string module = module_of(item.name);
    QUANTLANE_TRY(const LinearScheme scheme, scheme_of(module));
    QUANTLANE_TRY(InputModel inputs,
                  inputs_of(job_, *algorithm, module, item.weight.cols(),
                            {.group = feedback_group(item.weight.cols()), .input = scheme.input}));
    inputs.tensor_scale = weight_scales_.of(module);
    // What follows sees the outputs of the new weight.
    const auto whole =
        inputs.feedback != nullptr ? whole_tensor(scheme.weight, item.weight) : nullptr;
    const std::int64_t most_rows = whole != nullptr ? kFeedbackRows : item.weight.rows();
    const auto encoder = linear_encoder(item.weight, module, dialect_writer(), scheme, *algorithm,
                                        std::move(inputs), whole);
    const std::vector<PlannedPart> plan = planned_parts(job_, scheme_, item);
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
                                     dialect_writer().row_multiple(scheme_), most_rows));
    if (whole != nullptr) job_.feedback->settle(module, Weight(whole, scheme.input));
    std::vector<std::vector<std::byte>> parts_of_whole(plan.size());
    for (std::size_t i = 0; i < rest.size(); ++i) {
      parts_of_whole[streamed + i] = rest[i].take();
    }
    if (dialect_writer().finish != nullptr) {
      dialect_writer().finish(scheme_, item.weight.rows(), item.weight.cols(), parts_of_whole);
    }
    for (std::size_t i = streamed; i < plan.size(); ++i) {
      QUANTLANE_TRY_VOID(output.write(index + i, parts_of_whole[i]));
    }
    ++summary_.tensor_types[scheme_.weight.spelling()];
    note_transfer(item, Transfer::kRequantize);
    return {};
  }

  Result<void> write_plain(ContainerWriter& writer, std::size_t index, const Item& item) {
    const auto encoder =
        typed_encoder(item.weight, item.name, plain_type(job_, item), nullptr, {}, {});
    QUANTLANE_TRY_VOID(stream_slices(
        item.weight.rows(), item.weight.cols(), pool_, encoder,
        [&](const SliceParts& parts, std::int64_t) { return writer.write(index, parts[0]); }));
    if (job_.lane.plain) ++summary_.tensor_types[std::string(plain_type(job_, item).name())];
    note_transfer(item, Transfer::kDequantize);
    return {};
  }

  void note_transfer(const Item& item, Transfer transfer) {
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
  [[nodiscard]] std::int64_t feedback_group(std::int64_t cols) const {
    return scheme_.weight.granularity == Granularity::kGroup ? scheme_.weight.group_size : cols;
  }

  // The scheme with what calibration says of the inputs of `module`.
  [[nodiscard]] Result<LinearScheme> scheme_of(const std::string& module) const {
    LinearScheme scheme = scheme_;
    if (!scheme.input || !scheme.input->calibrated()) return scheme;
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
                    .advise("let the lane calibrate itself: leave --data-free, --statistics out"));
  }

  const QuantizeJob& job_;
  std::vector<Item> items_;
  LinearScheme scheme_;
  WeightScales weight_scales_;
  ThreadPool& pool_;
  Progress& progress_;
  QuantizeSummary summary_;
  Json weight_map_;
  std::size_t shards_ = 1;
  std::uint64_t written_ = 0;
  std::uint64_t values_ = 0;
  std::uint64_t done_ = 0;
};

}  // namespace

Result<ArtefactPlan> plan_folder(const QuantizeJob& job) {
  QUANTLANE_TRY(Choice choice, choose(job));
  ArtefactPlan plan;
  plan.config = planned_config(job, choice);
  plan.notices = std::move(choice.notices);
  for (const Item& item : choice.items) {
    for (PlannedTensor& tensor : planned(job, choice.scheme, item)) {
      plan.tensors.push_back(std::move(tensor));
    }
    plan.values += values_of(item);
    if (item.quantized) plan.matrices[item.name] = {.scheme = choice.scheme};
    plan.files = std::max<std::size_t>(plan.files, item.shard + std::size_t{1});
  }
  for (PlannedTensor& tensor : planned_kv_tensors(job)) plan.tensors.push_back(std::move(tensor));
  return plan;
}

Result<QuantizeSummary> write_folder(const QuantizeJob& job, ThreadPool& pool, Progress& progress) {
  QUANTLANE_TRY(Choice choice, choose(job));
  FolderWriter writer(job, std::move(choice.items), choice.scheme, pool, progress);
  QUANTLANE_TRY(QuantizeSummary summary, writer.run());
  summary.notices = std::move(choice.notices);
  return summary;
}

}  // namespace quantlane
