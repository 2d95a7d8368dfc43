// Any bytes as a safetensors file: an error with its place, or tensors inside the file.
#include <cstddef>
#include <cstdint>
#include <span>

#include "containers/safetensors.h"
#include "core/check.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto parsed = quantlane::parse_safetensors(bytes, "input");
  if (!parsed) {
    QUANTLANE_CHECK(parsed.error().file == "input" && parsed.error().offset.has_value());
    QUANTLANE_CHECK(!parsed.error().message().empty());
    return 0;
  }
  std::uint64_t covered = 0;
  for (const quantlane::TensorInfo& tensor : parsed->tensors) {
    QUANTLANE_CHECK(tensor.offset <= size && tensor.size_bytes <= size - tensor.offset);
    QUANTLANE_CHECK(tensor.type.bytes_of(tensor.element_count()) == tensor.size_bytes);
    QUANTLANE_CHECK(tensor.offset >= covered);
    covered = tensor.offset + tensor.size_bytes;
  }
  return 0;
}
