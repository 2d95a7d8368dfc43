#include "quantize/folder/kept_codes.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "core/check.h"
#include "formats/scale_storage.h"
#include "formats/scheme_moves.h"
#include "model/fused_linears.h"
#include "quantize/folder/folder_schemes.h"
#include "quantize/lanes/transfer.h"

namespace quantlane {
namespace {

// Why the codes of a Linear cannot be kept; nullopt where they can.
std::optional<std::string> obstacle_of(const QuantizeJob& job, const FolderItem& item) {
  if (!keeps_codes(job)) return "the lane makes new ones, by error feedback or transforms";
  const QuantTensor* stored = item.weight.quantized();
  if (item.parameter != nullptr && job.source.edited(*item.parameter))
    return "the adapter changes the weights, so the codes of the source are not theirs";
  if (stored == nullptr) return "they are blocks of a GGUF file";
  return obstacle_to_move(item.scheme.weight, *stored);
}

bool has_tensor_scale(const Scheme& scheme) {
  return scheme.granularity == Granularity::kTensor || scheme.tensor_scale != TensorScale::kNone;
}

// The obstacles of all quantized items. What engines load as one has one scale of the tensor
// (linear_scales.h): where a part gets new codes, so do the others.
std::map<const FolderItem*, std::string> obstacles_of(const QuantizeJob& job,
                                                      const std::vector<FolderItem>& items) {
  std::map<const FolderItem*, std::string> obstacles;
  std::set<std::string> renewed;
  for (const FolderItem& item : items) {
    if (!item.quantized) continue;
    const auto obstacle = obstacle_of(job, item);
    if (!obstacle) continue;
    obstacles[&item] = *obstacle;
    if (item.weight.is_quantized() && has_tensor_scale(item.scheme.weight))
      renewed.insert(fused_name(module_of(item.name)));
  }
  for (const FolderItem& item : items) {
    if (!item.quantized || !renewed.contains(fused_name(module_of(item.name)))) continue;
    obstacles.emplace(
        &item, "a Linear that engines load as one with it, under one scale, cannot keep its own");
  }
  return obstacles;
}

// Inputs that are rounded under static scales keep those of the source; a conversion has no others.
Result<void> check_input_scales(const QuantizeJob& job, const std::vector<FolderItem>& items) {
  if (!job.converts) return {};
  for (const FolderItem& item : items) {
    if (!item.moves || !item.scheme.input || !item.scheme.input->calibrated()) continue;
    if (kept_input(job, item)) continue;
    const bool rounded = item.weight.input_rounding().has_value();
    return fail(unsupported(attempt_of(job))
                    .in(job.source.path().string())
                    .of(item.name)
                    .expects("static scales of the inputs, which the lane stores")
                    .got(rounded ? "inputs that are rounded otherwise" : "none in the source")
                    .advise("quantlane quantize keeps the codes and calibrates the inputs"));
  }
  return {};
}

}  // namespace

Result<void> choose_moves(const QuantizeJob& job, std::vector<FolderItem>& items,
                          std::vector<std::string>& notices) {
  std::vector<PlannedTransfer> transfers;
  const auto obstacles = obstacles_of(job, items);
  for (FolderItem& item : items) {
    if (!item.quantized) continue;
    const auto obstacle = obstacles.find(&item);
    item.moves = obstacle == obstacles.end();
    if (item.parameter == nullptr) continue;
    transfers.push_back({.parameter = item.parameter,
                         .target = item.scheme.weight.spelling(),
                         .transfer = item.moves ? Transfer::kMove
                                     : is_quantized(job.source, *item.parameter)
                                         ? Transfer::kRequantize
                                         : Transfer::kEncode,
                         .obstacle = item.moves ? "" : obstacle->second});
  }
  if (!job.allow_requantize)
    QUANTLANE_TRY_VOID(refuse_requantizing(job.source, attempt_of(job), job.converts, transfers));
  const auto moved = std::ranges::find_if(items, &FolderItem::moves);
  if (moved == items.end()) return {};
  for (FolderItem& item : items) {
    if (!item.weight.is_quantized()) item.quantized = false;
  }
  const auto stored = moved->weight.input_rounding();
  const auto& input = moved->scheme.input;
  const bool alike = stored && input ? input_moved_to(*input, *stored).has_value()
                                     : stored.has_value() == input.has_value();
  if (!alike) {
    notices.push_back(
        job.lane.name +
        " rounds the inputs of Linears otherwise than the source does: the weights are "
        "the same, products are not");
  }
  return check_input_scales(job, items);
}

std::optional<ActivationScheme> kept_input(const QuantizeJob& job, const FolderItem& item) {
  if (!item.quantized || !item.moves || !item.scheme.input || job.source.edited())
    return std::nullopt;
  const auto stored = item.weight.input_rounding();
  return stored ? input_moved_to(*item.scheme.input, *stored) : std::nullopt;
}

void fit_input_scales(const QuantizeJob& job, std::vector<FolderItem>& items,
                      std::vector<std::string>& notices) {
  if (!job.lane.dialect->writer->any_scale_type) return;
  const auto has_static = [](const FolderItem& item) {
    return item.quantized && item.scheme.input && !item.scheme.input->dynamic;
  };
  const bool rounds = std::ranges::any_of(items, [&](const FolderItem& item) {
    const auto kept = kept_input(job, item);
    return has_static(item) && kept && !holds_scale(kept->static_scale, DType::kBF16);
  });
  if (!rounds) return;
  for (FolderItem& item : items) {
    if (has_static(item)) item.scheme.input->static_dtype = DType::kF32;
  }
  notices.emplace_back(
      "static scales of inputs stay f32, for bf16 does not hold them: vLLM and SGLang keep them "
      "so, "
      "transformers rounds them to the dtype of the model");
}

}  // namespace quantlane
