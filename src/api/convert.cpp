#include <algorithm>
#include <chrono>
#include <utility>

#include "api/kv_request.h"
#include "api/plain_output.h"
#include "api/quantize_job.h"
#include "api/quantize_request.h"
#include "core/check.h"
#include "quantize/lanes/transfer.h"
#include "quantlane/quantize.h"

namespace quantlane {
namespace {

// Converting to a lane carries codes over; of plain weights there are none.
Result<void> check_codes(const Checkpoint& checkpoint, const Lane& lane) {
  const auto has_codes = [&](const Parameter& p) { return is_quantized(checkpoint, p); };
  // A scheme of the key-value cache alone quantizes no weights.
  if (checkpoint.quantization() != nullptr &&
      std::ranges::any_of(checkpoint.graph()->parameters, has_codes)) {
    return {};
  }
  return fail(invalid("converting to " + lane.name)
                  .in(checkpoint.path().string())
                  .expects("a quantized folder, whose codes are kept")
                  .got("one that no dialect quantized")
                  .advise("to quantize it, use quantlane quantize"));
}

// A conversion calibrates nothing.
Result<bool> drops_kv(const std::string& kv) {
  if (kv.empty()) return false;
  QUANTLANE_TRY(const KvScheme* scheme, find_kv_scheme_or_none(kv));
  if (scheme == nullptr) return true;
  return fail(usage_error("converting")
                  .of("--kv")
                  .expects("none, or nothing: the scheme of the source then goes on")
                  .got(kv)
                  .advise("quantlane quantize writes another one, with its scales"));
}

}  // namespace

Result<QuantizeResult> convert_checkpoint(const ConvertOptions& asked, Progress& progress) {
  const ConvertOptions options = with_plain_output(asked);
  const auto begun = std::chrono::steady_clock::now();
  ThreadPool pool(options.threads);
  const bool gguf = options.out.extension() == ".gguf";
  const bool same = options.type == "same";
  const bool plain = options.type == "f32" || options.type == "f16" || options.type == "bf16";
  const auto dialect_lane = plain || same ? Result<Lane>(Lane()) : find_lane(options.type);
  if (!dialect_lane || (!plain && !same && dialect_lane->dialect == nullptr)) {
    return fail(
        usage_error("converting")
            .expects("--to f32, f16, bf16, same, or a lane whose dialect keeps the codes of a "
                     "quantized folder, such as gptq")
            .got(options.type)
            .advise("to quantize, use quantlane quantize"));
  }
  if (same && !gguf) {
    return fail(usage_error("converting")
                    .in(options.out.string())
                    .expects("an output that ends in .gguf with --to same")
                    .got("a folder")
                    .advise("folders are written with --to f32, f16 or bf16"));
  }
  QUANTLANE_TRY(const bool without_kv, drops_kv(options.kv));
  QUANTLANE_TRY(const auto checkpoint, Checkpoint::open(options.checkpoint));
  if (!plain && !same) QUANTLANE_TRY_VOID(check_codes(*checkpoint, *dialect_lane));
  QUANTLANE_TRY(const Lane lane, same    ? lane_as_stored(*checkpoint)
                                 : plain ? find_lane((gguf ? "gguf:" : "") + options.type)
                                         : *dialect_lane);
  QUANTLANE_TRY(const SplitRequest split, split_request(options.split, lane));
  QUANTLANE_TRY_VOID(check_files(options.out, split, *checkpoint, {}, options.force));
  QUANTLANE_TRY(QuantizeResult result, run_job({.source = *checkpoint,
                                                .lane = lane,
                                                .statistics = nullptr,
                                                .out = options.out,
                                                .arch_agnostic = false,
                                                .split = split,
                                                .drops_kv = without_kv,
                                                .replace = options.force,
                                                .converts = true,
                                                .as_stored = same},
                                               pool, progress));
  result.total_seconds = seconds_since(begun);
  return result;
}

}  // namespace quantlane
