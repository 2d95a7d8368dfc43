#include "api/calibration_request.h"

#include <string>

#include "core/check.h"
#include "core/file.h"
#include "quantize/lanes/lane_needs.h"

namespace quantlane {
namespace {

Result<void> check_sources(const QuantizeOptions& options, const Lane& lane) {
  const int given = static_cast<int>(options.statistics.has_value()) +
                    static_cast<int>(options.imatrix.has_value()) +
                    static_cast<int>(options.data_free);
  if (given > 1) {
    return fail(usage_error("choosing importances")
                    .expects("one of --imatrix, --statistics and --data-free")
                    .got(std::to_string(given)));
  }
  if (options.imatrix && !lane.is_gguf()) {
    return fail(
        usage_error("choosing importances")
            .in(options.imatrix->string())
            .expects("a GGUF lane with --imatrix")
            .got(lane.name)
            .advise("leave it out: folder lanes calibrate themselves, or take --statistics"));
  }
  return {};
}

// What rotations cannot be combined with.
Result<void> check_rotations(const QuantizeOptions& options, const Lane& lane) {
  if (!turns_inputs(lane)) return {};
  if (options.arch_agnostic) {
    return fail(usage_error("quantizing to " + lane.name)
                    .expects("a known architecture, which says where rotations cancel")
                    .got("--arch-agnostic"));
  }
  if (options.imatrix || options.statistics) {
    return fail(usage_error("quantizing to " + lane.name)
                    .in((options.imatrix ? *options.imatrix : *options.statistics).string())
                    .expects("importances of the rotated inputs")
                    .got("those of the model as it is, which do not tell them")
                    .advise("leave it out: the lane collects its own"));
  }
  return {};
}

// What only a pass over text gives, empty where the artefact needs nothing of that kind.
std::string need_of_text(const Lane& lane, const KvScheme* kv) {
  if (wants_pass(lane)) return "error feedback and transforms need";
  if (wants_input_scales(lane)) return "the scales of inputs need";
  if (calibrates_kv(kv)) return "the scales of the " + std::string(kv->name) + " cache need";
  return "";
}

// Without text, for an artefact that needs some.
std::string way_without_text(const Lane& lane) {
  if (wants_pass(lane) || wants_input_scales(lane)) {
    return "take a lane without error feedback and with dynamic scales (fp8, w8a8), which needs "
           "none";
  }
  return "take a cache whose scales come from the values themselves (--kv int8, --kv int4), or "
         "none";
}

Result<void> check_pass(const QuantizeOptions& options, const Lane& lane, const KvScheme* kv) {
  const std::string need = need_of_text(lane, kv);
  if (need.empty() || !(options.data_free || options.arch_agnostic)) return {};
  const std::string option = options.data_free ? "--data-free" : "--arch-agnostic";
  return fail(usage_error("quantizing to " + lane.name)
                  .expects("a calibration pass, which " + need)
                  .got(option)
                  .advise("leave " + option + " out, or " + way_without_text(lane)));
}

}  // namespace

bool calibrates_kv(const KvScheme* kv) { return kv != nullptr && kv->calibrated; }

Result<void> check_calibration(const QuantizeOptions& options, const Lane& lane,
                               const KvScheme* kv) {
  QUANTLANE_TRY_VOID(check_sources(options, lane));
  QUANTLANE_TRY_VOID(check_rotations(options, lane));
  return check_pass(options, lane, kv);
}

Result<void> check_calibration_files(const QuantizeOptions& options) {
  for (const auto* file : {&options.calibration_text, &options.statistics, &options.imatrix}) {
    if (!*file) continue;
    if (auto opened = MappedFile::open(**file); !opened) return fail(std::move(opened).error());
  }
  return {};
}

Result<void> check_calibration_tokenizer(const Checkpoint& checkpoint, const Lane& lane,
                                         const KvScheme* kv) {
  auto tokenizer = checkpoint.tokenizer();
  if (tokenizer) return {};
  Error error = std::move(tokenizer).error();
  // GGUF files hold the tokenizer.
  if (!lane.is_gguf()) {
    error.hint += error.hint.empty() ? "" : ", or ";
    error.hint += need_of_text(lane, kv).empty() ? "quantize with --data-free, which reads no text"
                                                 : way_without_text(lane);
  }
  return fail(std::move(error));
}

}  // namespace quantlane
