#include "quantize/lanes/scheme_overrides.h"

#include <utility>

#include "core/check.h"
#include "core/regex.h"
#include "quantize/lanes/lane.h"

namespace quantlane {
namespace {

constexpr std::string_view kKeep = "keep";

Error bad_override(const Lane& lane, const std::string& text) {
  return usage_error("quantizing to " + lane.name).of("--tensor-type").got("\"" + text + "\"");
}

}  // namespace

Result<SchemeOverride> parse_scheme_override(const std::string& text, const Lane& lane) {
  // At the last sign: patterns may hold one themselves.
  const std::size_t equal = text.rfind('=');
  if (equal == std::string::npos || equal == 0) {
    return fail(
        bad_override(lane, text).expects("pattern=lane, such as down_proj=w8a16, or pattern=keep"));
  }
  SchemeOverride override{
      .pattern = text.substr(0, equal), .type = text.substr(equal + 1), .scheme = std::nullopt};
  if (const auto pattern = Regex::compile(override.pattern); !pattern) {
    return fail(bad_override(lane, text).expects(pattern.error().expected));
  }
  if (override.type == kKeep) return override;
  QUANTLANE_TRY(const Lane other, find_lane(override.type));
  if (!other.transforms.empty() || other.algorithm_named) {
    return fail(bad_override(lane, text)
                    .expects("a lane without transforms and algorithm: those of " + lane.name +
                             " are used"));
  }
  if (other.dialect != lane.dialect) {
    return fail(bad_override(lane, text)
                    .expects("keep, or a lane of the dialect " + lane.dialect_name())
                    .advise("one artefact has one dialect: " + other.name + " is of " +
                            other.dialect_name()));
  }
  if (lane.dialect->writer->write_groups == nullptr) {
    return fail(bad_override(lane, text)
                    .expects("keep: all Linears of " + lane.dialect_name() + " have one scheme")
                    .advise("compressed-tensors lanes (w4a16, w8a8, fp8, …) hold several"));
  }
  override.scheme = other.scheme;
  override.groups = other.groups;
  return override;
}

}  // namespace quantlane
