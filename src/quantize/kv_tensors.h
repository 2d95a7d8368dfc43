// The scales of a calibrated key-value cache as tensors of an artefact.
#pragma once
#include <cstddef>
#include <vector>

#include "containers/container.h"
#include "quantize/pipeline.h"

namespace quantlane {

// Keys and values of every layer, named as the lane's dialect has them; empty without job.kv.
std::vector<PlannedTensor> planned_kv_tensors(const QuantizeJob& job);
// The bytes of planned_kv_tensors()[index].
std::vector<std::byte> kv_tensor_bytes(const QuantizeJob& job, std::size_t index);

}  // namespace quantlane
