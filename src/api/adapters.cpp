#include "quantlane/adapters.h"

#include <chrono>
#include <map>

#include "api/adapted.h"
#include "api/json_lists.h"
#include "api/plain_output.h"
#include "api/quantize_request.h"
#include "core/check.h"
#include "core/json.h"
#include "quantize/pipeline.h"

namespace quantlane {
namespace {

// The plain type of most matrix values; bf16 where most are quantized.
DType usual_type(const Checkpoint& checkpoint) {
  std::map<DType, std::int64_t> counts;
  std::int64_t quantized = 0;
  for (const TensorInfo& tensor : checkpoint.container().tensors()) {
    if (tensor.shape.size() < 2) continue;
    const bool plain = tensor.type.block == nullptr && is_float(tensor.type.plain);
    (plain ? counts[tensor.type.plain] : quantized) += tensor.element_count();
  }
  if (checkpoint.quantization() != nullptr) return DType::kBF16;
  DType most = DType::kBF16;
  std::int64_t count = quantized;
  for (const DType type : {DType::kBF16, DType::kF16, DType::kF32}) {
    if (counts[type] <= count) continue;
    most = type;
    count = counts[type];
  }
  return most;
}

Result<DType> wanted_type(const MergeOptions& options, const Checkpoint& base) {
  if (options.type.empty()) return usual_type(base);
  if (options.type == "f32") return DType::kF32;
  if (options.type == "f16") return DType::kF16;
  if (options.type == "bf16") return DType::kBF16;
  return fail(usage_error("merging an adapter")
                  .expects("--to f32, f16 or bf16")
                  .got(options.type)
                  .advise("to quantize, use quantlane quantize --adapter"));
}

std::string type_name(DType type) {
  return type == DType::kF32 ? "f32" : type == DType::kF16 ? "f16" : "bf16";
}

}  // namespace

Result<BoundAdapter> adapt(const std::shared_ptr<const Checkpoint>& base,
                           const std::filesystem::path& adapter, ThreadPool& pool,
                           Progress& progress) {
  QUANTLANE_TRY(const Adapter read, read_adapter(adapter, *base));
  QUANTLANE_TRY(BoundAdapter bound, bind_adapter(read, base, pool));
  for (const std::string& notice : bound.notices) progress.notice(notice);
  return bound;
}

Result<void> refuse_stale_calibration(const std::filesystem::path& file,
                                      const std::filesystem::path& adapter,
                                      const std::string& option) {
  return fail(invalid("calibrating the adapted model")
                  .in(file.string())
                  .expects("statistics of the base with " + adapter.string())
                  .got("a file that may be of the base alone: an adapter shifts the activations")
                  .advise("leave " + option +
                          " out: the merged model is calibrated. Or write it with "
                          "quantlane merge-lora and collect on that"));
}

Result<std::shared_ptr<const Checkpoint>> adapted_source(
    const QuantizeOptions& options, const std::shared_ptr<const Checkpoint>& base,
    Progress& progress) {
  if (options.arch_agnostic) {
    return fail(usage_error("quantizing with an adapter")
                    .expects("an architecture whose parameters are known")
                    .got("--arch-agnostic"));
  }
  if (options.statistics || options.imatrix) {
    QUANTLANE_TRY_VOID(refuse_stale_calibration(
        options.statistics ? *options.statistics : *options.imatrix, *options.adapter,
        options.statistics ? "--statistics" : "--imatrix"));
  }
  ThreadPool pool(options.threads);
  QUANTLANE_TRY(const BoundAdapter bound, adapt(base, *options.adapter, pool, progress));
  return bound.merged;
}

Result<MergeResult> merge_adapter(const MergeOptions& asked, Progress& progress) {
  const MergeOptions options = with_plain_output(asked);
  const auto start = std::chrono::steady_clock::now();
  ThreadPool pool(options.threads);
  QUANTLANE_TRY(const auto base, Checkpoint::open(options.base));
  QUANTLANE_TRY(const DType type, wanted_type(options, *base));
  const bool gguf = options.out.extension() == ".gguf";
  QUANTLANE_TRY(const Lane lane, find_lane((gguf ? "gguf:" : "") + type_name(type)));
  QUANTLANE_TRY_VOID(check_files(
      options.out, {}, *base, {{.name = "the adapter", .path = options.adapter}}, options.force));
  QUANTLANE_TRY(const Adapter adapter, read_adapter(options.adapter, *base));
  QUANTLANE_TRY(BoundAdapter bound, bind_adapter(adapter, base, pool));
  QUANTLANE_TRY_VOID(measure_rounding(bound, *base, type, pool));
  QUANTLANE_TRY(
      const QuantizeSummary summary,
      run_quantize(
          {.source = *bound.merged, .lane = lane, .out = options.out, .replace = options.force},
          pool, progress));
  MergeResult result{.artifact = summary.files.front(),
                     .adapter_format = adapter.format,
                     .made_for = adapter.made_for,
                     .type = type_name(type),
                     .tensors = static_cast<std::int64_t>(adapter.tensor_count()),
                     .parameters = {},
                     .size_bytes = summary.size_bytes,
                     .seconds = 0,
                     .notices = bound.notices};
  for (const AdapterAccount& account : bound.accounts) {
    result.parameters.push_back({.name = account.parameter,
                                 .rank = account.rank,
                                 .scale = account.scale,
                                 .dora = account.dora,
                                 .tensors = static_cast<std::int64_t>(account.tensors),
                                 .weight_norm = account.weight_norm,
                                 .change = account.relative(),
                                 .rounding = account.rounding});
  }
  for (const std::string& notice : result.notices) progress.notice(notice);
  // Those of the writer have been told.
  result.notices.insert(result.notices.end(), summary.notices.begin(), summary.notices.end());
  result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return result;
}

std::string to_json(const MergeResult& result) {
  Json parameters = Json::array();
  for (const MergedParameter& row : result.parameters) {
    parameters.push(Json::object({{"name", row.name},
                                  {"rank", row.rank},
                                  {"scale", row.scale},
                                  {"dora", row.dora},
                                  {"tensors", row.tensors},
                                  {"weight_norm", row.weight_norm},
                                  {"change", row.change},
                                  {"rounding", row.rounding}}));
  }
  return Json::object({{"artifact", result.artifact.string()},
                       {"adapter_format", result.adapter_format},
                       {"made_for", result.made_for},
                       {"type", result.type},
                       {"tensors", result.tensors},
                       {"parameters", std::move(parameters)},
                       {"size_bytes", result.size_bytes},
                       {"seconds", result.seconds},
                       {"notices", json_of(result.notices)}})
      .dump(2);
}

}  // namespace quantlane
