// The GGUF writer: metadata of the architecture and the tokenizer, tensors in llama.cpp's order.
#include <algorithm>
#include <utility>

#include "core/check.h"
#include "model/tokenizer/tokenizer.h"
#include "quantize/pipeline.h"
#include "quantize/row_stream.h"

namespace quantlane {
namespace {

struct GgufTensor {
  const Parameter* parameter;
  ElementType type;
};

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

Result<Metadata> write_metadata(const QuantizeJob& job) {
  const Checkpoint& source = job.source;
  const bool from_gguf = source.config_json().is_null();
  Metadata metadata = from_gguf ? source.container().metadata() : Metadata{};
  for (const char* key : {"split.no", "split.count", "split.tensors.count"}) metadata.erase(key);
  metadata.set("general.architecture", std::string(source.architecture()->gguf_name));
  metadata.set("general.type", std::string("model"));
  if (metadata.find("general.name") == nullptr) {
    metadata.set("general.name", std::filesystem::weakly_canonical(source.path()).stem().string());
  }
  metadata.set("general.file_type", static_cast<std::uint32_t>(job.lane.recipe->file_type));
  metadata.set("general.quantization_version", std::uint32_t{2});
  if (from_gguf) return metadata;
  source.architecture()->to_gguf(source.graph()->config, metadata);
  QUANTLANE_TRY(const auto tokenizer, source.tokenizer());
  QUANTLANE_TRY_VOID(write_tokenizer_gguf(tokenizer->spec(), metadata));
  return metadata;
}

std::vector<GgufTensor> assign_types(const QuantizeJob& job, std::vector<std::string>& notices) {
  std::vector<GgufTensor> tensors;
  std::map<std::string, std::int64_t> fallbacks;
  const Graph& graph = *job.source.graph();
  for (const Parameter& parameter : graph.parameters) {
    std::string notice;
    const ElementType type = job.lane.recipe->assign(parameter, graph.config, &notice);
    tensors.push_back({.parameter = &parameter, .type = type});
    if (!notice.empty()) ++fallbacks[notice];
  }
  for (const auto& [notice, count] : fallbacks) {
    notices.push_back(notice + " (" + std::to_string(count) + " tensors)");
  }
  return tensors;
}

// GGUF has no rope scaling keys for Llama 3: the divisors are a tensor.
constexpr std::string_view kRopeFrequencies = "rope_freqs.weight";

Result<void> write_rope_frequencies(ContainerWriter& writer, std::size_t index,
                                    const std::vector<float>& divisors) {
  return writer.write(index, std::as_bytes(std::span(divisors)));
}

}  // namespace

Result<QuantizeSummary> write_gguf(const QuantizeJob& job, ThreadPool& pool, Progress& progress) {
  const Checkpoint& source = job.source;
  const ModelConfig& config = source.graph()->config;
  QuantizeSummary summary;
  const auto tensors = assign_types(job, summary.notices);
  const std::vector<float> divisors = rope_frequency_divisors(config);
  std::vector<PlannedTensor> plan;
  if (!divisors.empty()) {
    plan.push_back({.name = std::string(kRopeFrequencies),
                    .type = {.plain = DType::kF32},
                    .shape = {static_cast<std::int64_t>(divisors.size())}});
  }
  for (const GgufTensor& tensor : tensors) {
    const Parameter& p = *tensor.parameter;
    plan.push_back({.name = gguf_name(p.role, p.layer, config),
                    .type = tensor.type,
                    .shape = p.rows == 1 && !is_linear(p.role)
                                 ? std::vector<std::int64_t>{p.cols}
                                 : std::vector<std::int64_t>{p.rows, p.cols}});
  }
  std::uint64_t total_bytes = 0;
  std::uint64_t total_values = 0;
  for (const PlannedTensor& tensor : plan) total_bytes += tensor.size_bytes();
  QUANTLANE_TRY(const Metadata metadata, write_metadata(job));
  QUANTLANE_TRY(const auto writer, create_gguf(job.out, plan, metadata));
  std::size_t index = 0;
  if (!divisors.empty()) QUANTLANE_TRY_VOID(write_rope_frequencies(*writer, index++, divisors));
  const Algorithm* algorithm = algorithm_by_name(job.lane.algorithm);
  progress.begin("quantize " + job.lane.name, total_bytes, "B");
  std::uint64_t done = 0;
  for (const GgufTensor& tensor : tensors) {
    const Parameter& p = *tensor.parameter;
    QUANTLANE_TRY(const Weight weight, source.weight(p));
    const auto encoder =
        typed_encoder(weight, p.name, tensor.type, algorithm,
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
      ++summary.tensor_types[std::string(tensor.type.name())];
    ++index;
  }
  QUANTLANE_TRY_VOID(writer->commit());
  progress.end();
  summary.bits_per_weight =
      8.0 * static_cast<double>(total_bytes) / static_cast<double>(total_values);
  return summary;
}

}  // namespace quantlane
