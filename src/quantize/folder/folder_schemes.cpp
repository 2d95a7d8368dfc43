#include "quantize/folder/folder_schemes.h"

#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>

#include "core/check.h"
#include "core/regex.h"
#include "formats/scheme_moves.h"
#include "model/fused_linears.h"
#include "quantize/lanes/lane_needs.h"

namespace quantlane {
namespace {

using Linears = std::vector<FolderItem*>;

// What a set of Linears is to get.
struct WantedScheme {
  std::string lane;
  LinearScheme scheme;
  const LaneGroups& groups;
};

// The size of the groups that all Linears have in the source, where their codes may be kept.
std::optional<int> stored_group_size(const QuantizeJob& job, const Linears& linears,
                                     const Scheme& wanted) {
  std::optional<int> size;
  if (!keeps_codes(job)) return size;
  for (const FolderItem* item : linears) {
    const QuantTensor* stored = item->weight.quantized();
    if (stored == nullptr || stored->scheme.granularity != Granularity::kGroup ||
        stored->scheme.type != wanted.type || stored->scheme.bits != wanted.bits ||
        size.value_or(stored->scheme.group_size) != stored->scheme.group_size) {
      return std::nullopt;
    }
    size = stored->scheme.group_size;
  }
  return size;
}

// Codes are kept with their scales: in the lane's type where it holds all of them, else in a wider
// or finer one where the dialect has it. transformers and vLLM load those of integers as the
// model's dtype.
void fit_scale_type(const QuantizeJob& job, const Linears& linears, Scheme& scheme,
                    std::vector<std::string>& notices) {
  if (!keeps_codes(job) || !job.lane.dialect->writer->any_scale_type ||
      scheme.scale_dtype != DType::kBF16) {
    return;
  }
  for (const DType type : {DType::kBF16, DType::kF16, DType::kF32}) {
    const bool holds = std::ranges::all_of(linears, [&](const FolderItem* item) {
      const QuantTensor* stored = item->weight.quantized();
      return stored == nullptr || stored->scheme.type != scheme.type ||
             stored->scheme.bits != scheme.bits || holds_scales(type, *stored);
    });
    if (!holds) continue;
    scheme.scale_dtype = type;
    if (type != DType::kBF16 && scheme.type == ValueType::kInt &&
        job.source.model_dtype() == DType::kBF16) {
      notices.push_back(fmt::format(
          "scales stay {}, for bf16 does not hold them: engines that run the model in bf16 round "
          "them",
          dtype_row(type).name));
    }
    return;
  }
}

// The first Linear that groups of this size do not fit.
const FolderItem* misfit_of(const Linears& linears, int group) {
  const auto found = std::ranges::find_if(
      linears, [group](const FolderItem* item) { return item->weight.cols() % group != 0; });
  return found == linears.end() ? nullptr : *found;
}

std::string misfit_text(const FolderItem& misfit, int group) {
  return fmt::format("group size {} does not divide the {} columns of {}", group,
                     misfit.weight.cols(), misfit.name);
}

// The spelled-out lanes whose groups fit all `linears`.
struct FittingLanes {
  std::string sizes;  // "16, 32"
  std::string names;  // "w4a16-g16, w4a16-g32, w4a16-channel, "
};

FittingLanes fitting_lanes(const LaneGroups& groups, const Linears& linears) {
  FittingLanes fitting;
  for (const int size : groups.sizes) {
    if (misfit_of(linears, size) != nullptr) continue;
    fitting.sizes += fmt::format("{}{}", fitting.sizes.empty() ? "" : ", ", size);
    fitting.names += fmt::format("{}-g{}, ", groups.stem, size);
  }
  if (groups.channel) fitting.names += groups.stem + "-channel, ";
  return fitting;
}

// A size that the user chose holds, or is refused with those that would.
Result<void> check_chosen_group(const QuantizeJob& job, const WantedScheme& wanted,
                                const Linears& linears) {
  const int group = wanted.scheme.weight.group_size;
  const FolderItem* misfit = misfit_of(linears, group);
  if (misfit == nullptr) return {};
  const auto [sizes, lanes] = fitting_lanes(wanted.groups, linears);
  return fail(unsupported("quantizing to " + wanted.lane)
                  .in(job.source.path().string())
                  .of(misfit->name)
                  .expects("a group size that divides every width: " +
                           (sizes.empty() ? "none of those that can be chosen" : sizes))
                  .got(misfit_text(*misfit, group))
                  .advise(lanes + "or " + wanted.groups.stem + ", which chooses by itself"));
}

// The group size for all `linears`: the one that was chosen; else that of the source, the lane's,
// or the largest of 64 and 32 that divides every width.
Result<LinearScheme> fit_group_size(const QuantizeJob& job, const WantedScheme& wanted,
                                    const Linears& linears, std::vector<std::string>& notices) {
  LinearScheme scheme = wanted.scheme;
  job.lane.dialect->writer->complete(scheme, job.source.model_dtype());
  if (scheme.weight.granularity != Granularity::kGroup) return scheme;
  if (wanted.groups.chosen) {
    QUANTLANE_TRY_VOID(check_chosen_group(job, wanted, linears));
    return scheme;
  }
  if (const auto stored = stored_group_size(job, linears, scheme.weight)) {
    scheme.weight.group_size = *stored;
    return scheme;
  }
  std::vector<std::string> misfits;
  const int smallest = std::min(scheme.weight.group_size, 32);
  for (const int group : {scheme.weight.group_size, 64, 32}) {
    if (group > scheme.weight.group_size) continue;
    const FolderItem* misfit = misfit_of(linears, group);
    if (misfit == nullptr) {
      scheme.weight.group_size = group;
      if (!misfits.empty()) misfits.push_back("using " + scheme.weight.spelling());
      notices.insert(notices.end(), misfits.begin(), misfits.end());
      return scheme;
    }
    misfits.push_back(misfit_text(*misfit, group));
  }
  return fail(unsupported("choosing a group size for " + wanted.lane)
                  .in(job.source.path().string())
                  .expects(fmt::format("widths that {} divides", smallest))
                  .got(misfits.back())
                  .advise(fitting_lanes(wanted.groups, linears).names +
                          "a lane with a scale per channel (fp8, w8a8) or a GGUF lane"));
}

// The first matrix that `pattern` finds, where it finds none that is quantized.
const FolderItem* only_high_match(const std::vector<FolderItem>& items, const Regex& pattern) {
  const FolderItem* high = nullptr;
  for (const FolderItem& item : items) {
    const bool matrix = item.quantized || item.shape.size() == 2;
    if (!matrix || !pattern.found_in(module_of(item.name))) continue;
    if (item.quantized) return nullptr;
    if (high == nullptr) high = &item;
  }
  return high;
}

// The Linears of the lane itself, then those of each override. The first override that matches
// wins.
Result<std::vector<Linears>> sort_linears(const QuantizeJob& job, std::vector<FolderItem>& items) {
  const std::vector<SchemeOverride>& overrides = job.lane.overrides;
  std::vector<Regex> patterns;
  for (const SchemeOverride& override : overrides) {
    QUANTLANE_TRY(Regex pattern, Regex::compile(override.pattern));
    patterns.push_back(std::move(pattern));
  }
  std::vector<Linears> sorted(1 + overrides.size());
  for (FolderItem& item : items) {
    if (!item.quantized) continue;
    const std::string module = module_of(item.name);
    const auto found = std::ranges::find_if(
        patterns, [&](const Regex& pattern) { return pattern.found_in(module); });
    const bool own = found == patterns.end();
    sorted[own ? 0 : 1 + static_cast<std::size_t>(found - patterns.begin())].push_back(&item);
  }
  for (std::size_t i = 0; i < overrides.size(); ++i) {
    if (!sorted[1 + i].empty()) continue;
    if (const FolderItem* high = only_high_match(items, patterns[i])) {
      return fail(usage_error("quantizing to " + job.lane.name)
                      .in(job.source.path().string())
                      .of("--tensor-type")
                      .expects("a pattern that is found in the name of a quantized Linear")
                      .got("\"" + overrides[i].pattern + "\", found in " + module_of(high->name) +
                           " alone, which stays in high precision")
                      .advise("folder lanes keep embeddings, heads and routers as they are"));
    }
    return fail(usage_error("quantizing to " + job.lane.name)
                    .in(job.source.path().string())
                    .of("--tensor-type")
                    .expects("a pattern that is found in the name of a Linear and that no earlier "
                             "one takes")
                    .got("\"" + overrides[i].pattern + "\"")
                    .advise("quantlane quantize … --dry-run lists the names"));
  }
  return sorted;
}

std::string scheme_text(const FolderItem& item) {
  if (!item.quantized) return "not quantized";
  return item.scheme.weight.spelling() + (item.scheme.input ? " with rounded inputs" : "");
}

Result<void> check_products(const QuantizeJob& job, const std::vector<Linears>& sorted) {
  std::map<std::string, const FolderItem*> first;
  for (const Linears& linears : sorted) {
    for (const FolderItem* item : linears) {
      const FolderItem*& other = first[fused_name_with_experts(module_of(item->name))];
      if (other == nullptr) other = item;
      if (other->quantized == item->quantized && other->scheme == item->scheme) continue;
      return fail(unsupported("quantizing to " + job.lane.name)
                      .in(job.source.path().string())
                      .of(item->name)
                      .expects("the scheme of " + other->name +
                               ", which engines load as one with "
                               "it: " +
                               scheme_text(*other))
                      .got(scheme_text(*item))
                      .advise("let patterns take all of q_proj, k_proj and v_proj, of gate_proj "
                              "and up_proj, of the experts of a layer, or none"));
    }
  }
  return {};
}

}  // namespace

bool keeps_codes(const QuantizeJob& job) {
  return job.lane.transforms.empty() && !wants_feedback(job.lane);
}

Result<void> choose_schemes(const QuantizeJob& job, std::vector<FolderItem>& items,
                            std::vector<std::string>& notices) {
  QUANTLANE_TRY(const std::vector<Linears> sorted, sort_linears(job, items));
  for (std::size_t i = 0; i < sorted.size(); ++i) {
    const SchemeOverride* override = i == 0 ? nullptr : &job.lane.overrides[i - 1];
    const bool kept = override != nullptr && !override->scheme;
    for (FolderItem* item : sorted[i]) item->quantized = !kept;
    if (kept || sorted[i].empty()) continue;
    const WantedScheme wanted = override == nullptr ? WantedScheme{.lane = job.lane.name,
                                                                   .scheme = job.lane.scheme,
                                                                   .groups = job.lane.groups}
                                                    : WantedScheme{.lane = override->type,
                                                                   .scheme = *override->scheme,
                                                                   .groups = override->groups};
    QUANTLANE_TRY(LinearScheme scheme, fit_group_size(job, wanted, sorted[i], notices));
    fit_scale_type(job, sorted[i], scheme.weight, notices);
    for (FolderItem* item : sorted[i]) item->scheme = scheme;
  }
  return check_products(job, sorted);
}

}  // namespace quantlane
