#include "model/model_rotations.h"

#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "core/check.h"

namespace quantlane {
namespace {

bool writes_stream(Role role) { return role == Role::kAttentionOutput || role == Role::kDown; }

// The norm whose outputs the matrix reads, if it does.
std::optional<Role> norm_before(Role role) {
  switch (role) {
    case Role::kQuery:
    case Role::kKey:
    case Role::kValue:
      return Role::kAttentionNorm;
    case Role::kRouter:
    case Role::kGate:
    case Role::kUp:
      return Role::kFeedForwardNorm;
    case Role::kHead:
      return Role::kFinalNorm;
    default:
      return std::nullopt;
  }
}

}  // namespace

void add_value_rotation(const Graph& graph, const std::shared_ptr<const Rotation>& rotation,
                        WeightEdits& edits) {
  QUANTLANE_CHECK(rotation->size() == graph.config.head_dim);
  for (const Parameter& p : graph.parameters) {
    if (p.role == Role::kValue) edits[p.name].row_rotation = rotation;
    if (p.role == Role::kValueBias || p.role == Role::kAttentionOutput)
      edits[p.name].column_rotation = rotation;
  }
}

std::string stream_rotation_obstacle(const ModelConfig& config) {
  if (config.tied_embeddings) {
    return "its embeddings are its head too, which would take over the gains of the last norm "
           "alone";
  }
  if (config.post_norms) {
    return "norms after attention and feed-forward scale what is added to it element by element";
  }
  return "";
}

Result<void> add_stream_rotation(const Checkpoint& source,
                                 const std::shared_ptr<const Rotation>& rotation,
                                 WeightEdits& edits) {
  const Graph& graph = *source.graph();
  QUANTLANE_CHECK(stream_rotation_obstacle(graph.config).empty());
  QUANTLANE_CHECK(rotation->size() == graph.config.hidden_size);
  std::map<const Parameter*, std::vector<float>> gains;
  for (const Parameter& p : graph.parameters) {
    if (p.role == Role::kEmbedding || p.role == Role::kAttentionOutputBias)
      edits[p.name].column_rotation = rotation;
    if (writes_stream(p.role)) edits[p.name].row_rotation = rotation;
    const auto role = norm_before(p.role);
    if (!role) continue;
    const Parameter* norm = graph.find(*role, p.role == Role::kHead ? -1 : p.layer);
    QUANTLANE_CHECK(norm != nullptr);
    if (!gains.contains(norm)) {
      QUANTLANE_TRY(gains[norm], source.norm_gains(*norm));
      const float one = graph.config.norm_plus_one ? 0.0F : 1.0F;
      edits[norm->name].values =
          std::make_shared<const std::vector<float>>(static_cast<std::size_t>(norm->cols), one);
    }
    WeightEdit& reader = edits[p.name];
    QUANTLANE_CHECK(reader.column_factors.empty() && reader.column_rotation == nullptr);
    reader.column_factors = gains.at(norm);
    reader.column_rotation = rotation;
  }
  return {};
}

}  // namespace quantlane
