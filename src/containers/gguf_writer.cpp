// Writes one GGUF file, version 3; grammar in gguf.h.
#include <bit>
#include <string>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>

#include "containers/gguf.h"
#include "containers/gguf_cursor.h"
#include "containers/gguf_split.h"
#include "containers/tensor_size.h"
#include "containers/tensor_stream.h"
#include "core/atomic_file.h"
#include "core/check.h"

namespace quantlane {
namespace {

Error refuse(const std::filesystem::path& path) {
  return invalid("planning a GGUF file").in(path.string());
}

Result<std::uint64_t> planned_alignment(const std::filesystem::path& path,
                                        const Metadata& metadata) {
  const MetadataValue* value = metadata.find(kGgufAlignmentKey);
  if (value == nullptr) return kGgufDefaultAlignment;
  const auto* alignment = std::get_if<std::uint32_t>(value);
  if (alignment == nullptr || !std::has_single_bit(*alignment)) {
    return fail(refuse(path)
                    .of(std::string(kGgufAlignmentKey))
                    .expects("an uint32 power of two")
                    .got(alignment == nullptr ? "another type" : std::to_string(*alignment)));
  }
  return *alignment;
}

Result<void> check_keys(const std::filesystem::path& path, const Metadata& metadata) {
  for (const auto& [key, value] : metadata.entries()) {
    if (key.empty()) return fail(refuse(path).expects("keys with a name").got("an empty key"));
  }
  return {};
}

Result<void> check_tensor(const std::filesystem::path& path, const PlannedTensor& tensor) {
  if (tensor.name.empty() || tensor.name.size() > kGgufMaxTensorName) {
    return fail(refuse(path)
                    .of(tensor.name)
                    .expects(fmt::format("a name of 1..{} bytes", kGgufMaxTensorName))
                    .got(fmt::format("{} bytes", tensor.name.size())));
  }
  if (!ggml_type_id(tensor.type)) {
    return fail(refuse(path)
                    .of(tensor.name)
                    .expects("a type that GGUF has")
                    .got(std::string(tensor.type.name())));
  }
  if (tensor.shape.size() > kGgufMaxDims) {
    return fail(refuse(path)
                    .of(tensor.name)
                    .expects(fmt::format("at most {} dimensions", kGgufMaxDims))
                    .got(shape_text(tensor.shape)));
  }
  for (const std::int64_t extent : tensor.shape) {
    if (extent <= 0) {
      return fail(
          refuse(path).of(tensor.name).expects("extents above 0").got(shape_text(tensor.shape)));
    }
  }
  return {};
}

// Checks the plan and places its data relative to the data section.
Result<std::vector<TensorSlot>> place(const std::filesystem::path& path,
                                      const std::vector<PlannedTensor>& plan,
                                      std::uint64_t alignment) {
  std::unordered_set<std::string_view> names;
  std::vector<TensorSlot> slots;
  std::uint64_t offset = 0;
  for (const PlannedTensor& tensor : plan) {
    QUANTLANE_TRY_VOID(check_tensor(path, tensor));
    if (!names.insert(tensor.name).second) {
      return fail(refuse(path).of(tensor.name).expects("a name of its own").got("one twice"));
    }
    QUANTLANE_TRY(const std::uint64_t size, planned_size(tensor));
    const std::uint64_t padding = (alignment - size % alignment) % alignment;
    slots.push_back(
        {.name = tensor.name, .offset = offset, .size_bytes = size, .padding = padding});
    offset += size + padding;
  }
  return slots;
}

std::string header_text(const std::vector<PlannedTensor>& plan,
                        const std::vector<TensorSlot>& slots, const Metadata& metadata) {
  std::string out(kGgufMagic);
  append_gguf_number(kGgufVersion, out);
  append_gguf_number(static_cast<std::uint64_t>(plan.size()), out);
  append_gguf_number(static_cast<std::uint64_t>(metadata.entries().size()), out);
  for (const auto& [key, value] : metadata.entries()) {
    append_gguf_string(key, out);
    append_gguf_value(value, out);
  }
  for (std::size_t i = 0; i < plan.size(); ++i) {
    append_gguf_string(plan[i].name, out);
    append_gguf_number(static_cast<std::uint32_t>(plan[i].shape.size()), out);
    for (auto it = plan[i].shape.rbegin(); it != plan[i].shape.rend(); ++it) {
      append_gguf_number(*it, out);
    }
    append_gguf_number(*ggml_type_id(plan[i].type), out);
    append_gguf_number(slots[i].offset, out);
  }
  return out;
}

}  // namespace

Result<std::unique_ptr<TensorStream>> create_gguf_stream(const std::filesystem::path& path,
                                                         const std::vector<PlannedTensor>& plan,
                                                         const Metadata& metadata,
                                                         ReplaceCheck may_replace) {
  QUANTLANE_TRY(const std::uint64_t alignment, planned_alignment(path, metadata));
  QUANTLANE_TRY_VOID(check_keys(path, metadata));
  QUANTLANE_TRY(std::vector<TensorSlot> slots, place(path, plan, alignment));
  std::string header = header_text(plan, slots, metadata);
  header.resize((header.size() + alignment - 1) / alignment * alignment, '\0');
  for (TensorSlot& slot : slots) slot.offset += header.size();

  QUANTLANE_TRY(AtomicFile file, AtomicFile::create(path, std::move(may_replace)));
  QUANTLANE_TRY_VOID(file.reserve(end_of(slots)));
  QUANTLANE_TRY_VOID(file.append(header));
  return std::make_unique<TensorStream>(std::move(file), path.string(), std::move(slots));
}

Result<std::unique_ptr<ContainerWriter>> create_gguf(const std::filesystem::path& path,
                                                     const std::vector<PlannedTensor>& plan,
                                                     const Metadata& metadata,
                                                     ReplaceCheck may_replace) {
  return create_gguf_stream(path, plan, metadata, std::move(may_replace));
}

std::uint64_t gguf_alignment(const Metadata& metadata) {
  const MetadataValue* value = metadata.find(kGgufAlignmentKey);
  const auto* alignment = value == nullptr ? nullptr : std::get_if<std::uint32_t>(value);
  return alignment == nullptr || *alignment == 0 ? kGgufDefaultAlignment : *alignment;
}

std::uint64_t gguf_header_bytes(const std::vector<PlannedTensor>& plan, const Metadata& metadata) {
  return header_text(plan, std::vector<TensorSlot>(plan.size()), metadata).size();
}

}  // namespace quantlane
