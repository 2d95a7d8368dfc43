#include "quantize/transforms/rotate.h"

#include <utility>

#include "core/check.h"
#include "model/damaged_weight.h"
#include "model/model_rotations.h"

namespace quantlane {
namespace {

// Fixed: the same lane gives the same bytes.
constexpr std::uint64_t kStreamSeed = 1;
constexpr std::uint64_t kValueSeed = 2;

Result<Transformed> find(const TransformRequest& request) {
  // A rotation spreads one value over a whole row, or over all readers of a norm.
  QUANTLANE_TRY_VOID(
      check_finite_weights(*request.source, "rotating the weights of a model", request.pool));
  const Graph& graph = *request.source->graph();
  Transformed found;
  const std::string obstacle = stream_rotation_obstacle(graph.config);
  if (obstacle.empty()) {
    const auto stream = std::make_shared<const Rotation>(graph.config.hidden_size, kStreamSeed);
    QUANTLANE_TRY_VOID(add_stream_rotation(*request.source, stream, found.edits));
  } else {
    found.notices.push_back("the values of the heads are rotated, not the residual stream: " +
                            obstacle);
  }
  const auto values = std::make_shared<const Rotation>(graph.config.head_dim, kValueSeed);
  add_value_rotation(graph, values, found.edits);
  return found;
}

}  // namespace

constinit const Transform kRotations = {
    .name = "rotate",
    .summary =
        "outliers spread by rotations merged into the weights (QuaRot, SpinQuant's R1 and R2)",
    .wants_pass = false,
    .turns_inputs = true,
    .find = find};

}  // namespace quantlane
