#include "runtime/model_bytes.h"

#include <algorithm>
#include <map>

namespace quantlane {

ModelBytes model_bytes(const Checkpoint& checkpoint) {
  ModelBytes bytes;
  std::map<std::int64_t, std::uint64_t> layers;
  for (const Parameter& parameter : checkpoint.graph()->parameters) {
    const auto values = static_cast<std::uint64_t>(parameter.rows * parameter.cols);
    const TensorInfo* stored = checkpoint.stored(parameter).tensor;
    // A quantized Linear is unpacked to one byte per value, scales (of groups of 16 or
    // more) beside it; vectors to float32.
    if (!is_matrix(parameter.role)) {
      bytes.resident += values * sizeof(float);
    } else if (stored == nullptr || checkpoint.dialect() != nullptr) {
      bytes.resident += values + values / 4;
    } else {
      const std::uint64_t size =
          stored->type.bytes_of(parameter.cols) * static_cast<std::uint64_t>(parameter.rows);
      bytes.mapped += size;
      layers[parameter.layer] += size;
    }
  }
  for (const auto& [layer, size] : layers) {
    std::uint64_t& most = layer < 0 ? bytes.mapped_ends : bytes.mapped_layer;
    most = std::max(most, size);
  }
  return bytes;
}

}  // namespace quantlane
