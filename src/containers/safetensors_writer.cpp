// Writes one safetensors file; grammar in safetensors.h.
#include <algorithm>
#include <numeric>
#include <string>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>

#include "containers/container.h"
#include "containers/safetensors.h"
#include "containers/tensor_stream.h"
#include "core/atomic_file.h"
#include "core/check.h"
#include "core/file.h"
#include "core/json.h"

namespace quantlane {
namespace {

constexpr std::size_t kHeaderAlignment = 8;

Error refuse_plan(const std::filesystem::path& path) {
  return invalid("planning a safetensors file").in(path.string());
}

Result<Json> metadata_json(const std::filesystem::path& path, const Metadata& metadata) {
  Json json = Json::object({});
  for (const auto& [key, value] : metadata.entries()) {
    const auto* text = std::get_if<std::string>(&value);
    if (text == nullptr) {
      return fail(refuse_plan(path).of(key).expects("a string: __metadata__ holds nothing else"));
    }
    json.set(key, Json(*text));
  }
  // What transformers and torch loaders look for.
  if (!json.contains("format")) json.set("format", "pt");
  return json;
}

// Sizes of all tensors, after checking names and types.
Result<std::vector<std::uint64_t>> checked_sizes(const std::filesystem::path& path,
                                                 const std::vector<PlannedTensor>& plan) {
  std::unordered_set<std::string_view> names;
  std::vector<std::uint64_t> sizes;
  for (const PlannedTensor& tensor : plan) {
    if (tensor.name.empty() || tensor.name == "__metadata__" || !names.insert(tensor.name).second) {
      return fail(refuse_plan(path)
                      .of(tensor.name)
                      .expects("a name of its own")
                      .got(tensor.name.empty() ? "an empty name" : "one that is taken"));
    }
    if (tensor.type.block != nullptr) {
      return fail(refuse_plan(path)
                      .of(tensor.name)
                      .expects("a plain element type")
                      .got(std::string(tensor.type.name()))
                      .advise("write block formats to a GGUF file"));
    }
    QUANTLANE_TRY(const std::uint64_t size, planned_size(tensor));
    sizes.push_back(size);
  }
  return sizes;
}

// The order of the data. Plan order, unless a tensor would then start at a place that is no
// multiple of its value size, which loaders that view the mapped file as typed storage refuse:
// then wider types come first, as in the reference implementation.
std::vector<std::size_t> data_order(const std::vector<PlannedTensor>& plan,
                                    const std::vector<std::uint64_t>& sizes) {
  const auto width = [&plan](std::size_t i) {
    return static_cast<std::uint64_t>(dtype_row(plan[i].type.plain).size_bytes);
  };
  std::vector<std::size_t> order(plan.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::uint64_t offset = 0;
  bool aligned = true;
  for (std::size_t i = 0; i < plan.size(); ++i) {
    aligned = aligned && offset % width(i) == 0;
    offset += sizes[i];
  }
  if (!aligned) std::ranges::stable_sort(order, std::ranges::greater{}, width);
  return order;
}

}  // namespace

Result<std::unique_ptr<ContainerWriter>> create_safetensors(const std::filesystem::path& path,
                                                            const std::vector<PlannedTensor>& plan,
                                                            const Metadata& metadata,
                                                            ReplaceCheck may_replace) {
  QUANTLANE_TRY(const std::vector<std::uint64_t> sizes, checked_sizes(path, plan));
  QUANTLANE_TRY(Json text_pairs, metadata_json(path, metadata));
  Json::Object header;
  header.emplace_back("__metadata__", std::move(text_pairs));
  std::vector<TensorSlot> slots(plan.size());
  std::uint64_t offset = 0;
  for (const std::size_t i : data_order(plan, sizes)) {
    Json::Array shape(plan[i].shape.begin(), plan[i].shape.end());
    header.emplace_back(
        plan[i].name,
        Json::object({{"dtype", dtype_row(plan[i].type.plain).safetensors_tag},
                      {"shape", std::move(shape)},
                      {"data_offsets", Json::Array{Json(offset), Json(offset + sizes[i])}}}));
    slots[i] = {.name = plan[i].name, .offset = offset, .size_bytes = sizes[i], .padding = 0};
    offset += sizes[i];
  }
  std::string text = Json(std::move(header)).dump();
  text.resize((text.size() + kHeaderAlignment - 1) / kHeaderAlignment * kHeaderAlignment, ' ');
  const std::uint64_t length = text.size();
  QUANTLANE_TRY_VOID(check_utf8(text, path.string()));
  if (length > kMaxSafetensorsHeader) {
    return fail(refuse_plan(path)
                    .expects(fmt::format("a header of at most {} bytes", kMaxSafetensorsHeader))
                    .got(fmt::format("{} bytes for {} tensors", length, plan.size()))
                    .advise("split the tensors over several files"));
  }
  for (TensorSlot& slot : slots) slot.offset += sizeof(length) + length;

  QUANTLANE_TRY(AtomicFile file, AtomicFile::create(path, std::move(may_replace)));
  QUANTLANE_TRY_VOID(file.reserve(end_of(slots)));
  QUANTLANE_TRY_VOID(file.append(std::as_bytes(std::span(&length, 1))));
  QUANTLANE_TRY_VOID(file.append(text));
  return std::make_unique<TensorStream>(std::move(file), path.string(), std::move(slots));
}

}  // namespace quantlane
