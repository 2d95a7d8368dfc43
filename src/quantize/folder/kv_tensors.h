// The scales of a calibrated key-value cache as tensors of an artefact.
#pragma once
#include <cstddef>
#include <vector>

#include "containers/container.h"
#include "quantize/pipeline.h"

namespace quantlane {

// Of the dialect that holds the scheme of the cache: the lane's own, or compressed-tensors around
// plain weights; nullptr where the files of the lane have no place for it.
const DialectWriter* kv_writer(const Lane& lane);

// Keys and values of every layer, named as kv_writer() has them; empty without job.kv
// and for schemes without calibrated scales.
std::vector<PlannedTensor> planned_kv_tensors(const QuantizeJob& job);
// The bytes of planned_kv_tensors()[index].
std::vector<std::byte> kv_tensor_bytes(const QuantizeJob& job, std::size_t index);

}  // namespace quantlane
