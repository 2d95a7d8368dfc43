#include "quantize/folder/kv_tensors.h"

#include <string>

#include "core/check.h"

namespace quantlane {

const DialectWriter* kv_writer(const Lane& lane) {
  if (lane.is_gguf()) return nullptr;
  const Dialect* dialect =
      lane.dialect != nullptr ? lane.dialect : dialect_by_name("compressed-tensors");
  QUANTLANE_CHECK(dialect != nullptr && dialect->writer != nullptr);
  return dialect->writer->set_kv != nullptr ? dialect->writer : nullptr;
}

std::vector<PlannedTensor> planned_kv_tensors(const QuantizeJob& job) {
  std::vector<PlannedTensor> plan;
  if (job.kv == nullptr || !job.kv->scheme->calibrated) return plan;
  const DialectWriter& writer = *kv_writer(job.lane);
  const Graph& graph = *job.source.graph();
  std::vector<std::int64_t> shape = {1};
  if (job.kv->scheme->per_head) shape = {graph.config.kv_head_count, 1, 1};
  for (std::int64_t layer = 0; layer < graph.config.layer_count; ++layer) {
    const Parameter* key = graph.find(Role::kKey, layer);
    QUANTLANE_CHECK(key != nullptr);
    const std::string attention(key->module().substr(0, key->module().rfind('.') + 1));
    for (const std::string_view suffix : {writer.key_scale, writer.value_scale}) {
      plan.push_back({.name = attention + std::string(suffix),
                      .type = {.plain = DType::kF32},
                      .shape = shape});
    }
  }
  return plan;
}

std::vector<std::byte> kv_tensor_bytes(const QuantizeJob& job, std::size_t index) {
  const KvRounding& kv = *job.kv;
  const std::vector<float>& scales = index % 2 == 0 ? kv.key_scales : kv.value_scales;
  const auto count = static_cast<std::size_t>(kv.scheme->per_head ? kv.heads : 1);
  QUANTLANE_CHECK((index / 2 + 1) * count <= scales.size());
  std::vector<std::byte> bytes(count * sizeof(float));
  encode_plain(DType::kF32, scales.data() + index / 2 * count, static_cast<std::int64_t>(count),
               bytes.data());
  return bytes;
}

}  // namespace quantlane
