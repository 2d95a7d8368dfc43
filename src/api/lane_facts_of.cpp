#include "api/lane_facts_of.h"

#include "quantize/pipeline.h"

namespace quantlane {
namespace {

double matrix_values(const Parameter& parameter) {
  return static_cast<double>(parameter.rows) * static_cast<double>(parameter.cols);
}

// Bytes of one Linear on disk.
double stored_bytes(const Checkpoint& checkpoint, const Parameter& parameter) {
  if (checkpoint.quantization() != nullptr) {
    if (const auto scheme = checkpoint.quantization()->scheme_of(parameter.module()))
      return matrix_values(parameter) * scheme->weight.bits_per_weight(parameter.cols) / 8;
  }
  const TensorInfo* tensor = checkpoint.stored(parameter).tensor;
  if (tensor == nullptr) return 0;
  return static_cast<double>(tensor->type.bytes_of(parameter.cols)) *
         static_cast<double>(parameter.rows);
}

// Stored bytes of all tensors, and of the embedding that decoding reads a row of only.
void set_bytes(const Checkpoint& checkpoint, LaneFacts& facts) {
  for (const TensorInfo& tensor : checkpoint.container().tensors()) {
    facts.weight_bytes += static_cast<double>(tensor.size_bytes);
  }
  facts.read_bytes = facts.weight_bytes;
  const Graph& graph = *checkpoint.graph();
  for (const Parameter& parameter : graph.parameters) {
    if (parameter.expert >= 0) facts.expert_bytes += stored_bytes(checkpoint, parameter);
  }
  if (graph.config.tied_embeddings) return;
  if (const Parameter* embedding = graph.find(Role::kEmbedding, -1)) {
    if (const TensorInfo* stored = checkpoint.stored(*embedding).tensor) {
      facts.read_bytes -= static_cast<double>(stored->size_bytes);
    }
  }
}

// Embedding and head, by the vocabulary and the width.
double head_values(const ModelConfig& config) {
  return static_cast<double>(config.vocab_size) * static_cast<double>(config.hidden_size);
}

}  // namespace

ComputePath path_of(const Lane& lane) {
  if (lane.is_gguf()) return ComputePath::kGguf;
  if (!lane.scheme.input) return lane.plain ? ComputePath::kBf16 : ComputePath::kWeightOnly;
  if (lane.scheme.input->type == ValueType::kInt) return ComputePath::kInt8;
  return lane.scheme.input->bits == 4 ? ComputePath::kFp4 : ComputePath::kFp8;
}

ModelFacts model_facts_of(const Checkpoint& reference) {
  const Graph& graph = *reference.graph();
  ModelFacts facts;
  facts.parameters = static_cast<double>(reference.parameter_count());
  for (const Parameter& parameter : graph.parameters) {
    if (is_block_linear(parameter.role)) facts.block_parameters += matrix_values(parameter);
    if (parameter.expert >= 0) facts.expert_parameters += matrix_values(parameter);
  }
  if (const ExpertConfig& experts = graph.config.experts; experts.count > 0) {
    facts.expert_share =
        static_cast<double>(experts.per_token) / static_cast<double>(experts.count);
  }
  facts.head_parameters = head_values(graph.config);
  facts.layers = graph.config.layer_count;
  facts.kv_bytes_per_token =
      2.0 * 2.0 * static_cast<double>(graph.config.kv_size() * graph.config.layer_count);
  return facts;
}

LaneFacts lane_facts_of(const Lane& lane, const Checkpoint& artefact) {
  LaneFacts facts;
  facts.name = lane.name;
  facts.path = path_of(lane);
  const Algorithm* algorithm = algorithm_by_name(lane.algorithm);
  facts.calibrated = algorithm != nullptr && algorithm->wants_statistics;
  set_bytes(artefact, facts);
  if (lane.dialect != nullptr) {
    facts.weight_bits = lane.scheme.weight.bits_per_weight(artefact.graph()->config.hidden_size);
  } else {
    facts.weight_bits = stored_bits_per_weight(artefact);
  }
  return facts;
}

LaneFacts reference_facts_of(const Checkpoint& reference) {
  LaneFacts facts;
  facts.name = "reference";
  set_bytes(reference, facts);
  return facts;
}

}  // namespace quantlane
