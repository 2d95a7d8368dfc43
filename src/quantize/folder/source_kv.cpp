#include "quantize/folder/source_kv.h"

#include <optional>
#include <utility>

#include "quantize/folder/kv_tensors.h"

namespace quantlane {
namespace {

// Why the artefact cannot have `scheme`; nullopt where it can.
std::optional<std::string> obstacle(const QuantizeJob& job, const KvScheme& scheme) {
  const DialectWriter* writer = kv_writer(job.lane);
  if (writer == nullptr) return "files of " + job.lane.dialect_name() + " have no place for it";
  if (writer->cannot_hold_kv != nullptr) {
    if (auto reason = writer->cannot_hold_kv(scheme)) return reason;
  }
  // Transforms are not applied yet in plans.
  const bool others = !job.lane.transforms.empty() || job.source.edited();
  if (scheme.calibrated && others) return "its scales are those of other weights";
  return std::nullopt;
}

std::string lost_notice(std::string_view scheme, const std::string& reason) {
  return "the key-value cache scheme of the source, " + std::string(scheme) +
         ", is lost: " + reason;
}

}  // namespace

Result<SourceKv> source_kv(const QuantizeJob& job) {
  SourceKv found;
  const QuantizationMap* map = job.source.quantization();
  if (job.kv != nullptr || job.drops_kv || map == nullptr) return found;
  if (job.source.graph() == nullptr) {
    const std::string& scheme = map->kv_unknown.empty() ? map->kv_scheme : map->kv_unknown;
    if (!scheme.empty())
      found.lost = lost_notice(scheme, "the layers of an unknown architecture are not known");
    return found;
  }
  auto read = job.source.kv_rounding();
  if (!read && read.error().code == ErrorCode::kUnsupported) {
    found.lost = lost_notice(map->kv_unknown.empty() ? map->kv_scheme : map->kv_unknown,
                             "it is not known here");
    return found;
  }
  if (!read) return std::unexpected(std::move(read).error());
  if (!read->any()) return found;
  if (const auto reason = obstacle(job, *read->scheme)) {
    found.lost = lost_notice(read->scheme->name, *reason);
  } else {
    found.kv = std::move(*read);
  }
  return found;
}

}  // namespace quantlane
