// Any bytes as a GGUF file: an error with its place, or tensors inside the file whose bytes decode,
// metadata that is written back as it was, and hyper-parameters or a reason why not.
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "containers/gguf.h"
#include "containers/gguf_cursor.h"
#include "core/check.h"
#include "model/graph.h"

namespace {

using quantlane::TensorInfo;

void decode_first_row(const TensorInfo& tensor, std::span<const std::byte> file) {
  const std::int64_t cols = tensor.cols();
  std::vector<float> values(static_cast<std::size_t>(cols));
  const std::byte* source = file.data() + tensor.offset;
  if (tensor.type.block != nullptr) {
    tensor.type.block->decode(source, cols / tensor.type.block->block_values, values.data());
  } else if (quantlane::is_float(tensor.type.plain)) {
    quantlane::decode_plain(tensor.type.plain, source, cols, values.data());
  }
}

void check_round_trip(const quantlane::MetadataValue& value) {
  std::string written;
  quantlane::append_gguf_value(value, written);
  const std::string origin = "written";
  quantlane::GgufCursor cursor(std::as_bytes(std::span(written)), origin);
  const auto read = quantlane::read_gguf_value(cursor);
  QUANTLANE_CHECK(read.has_value() && cursor.remaining() == 0);
  std::string again;
  quantlane::append_gguf_value(*read, again);
  QUANTLANE_CHECK(again == written);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  const auto parsed = quantlane::parse_gguf(bytes, "input");
  if (!parsed) {
    QUANTLANE_CHECK(parsed.error().file == "input" && parsed.error().offset.has_value());
    QUANTLANE_CHECK(!parsed.error().message().empty());
    return 0;
  }
  for (const TensorInfo& tensor : parsed->tensors) {
    QUANTLANE_CHECK(tensor.offset <= size && tensor.size_bytes <= size - tensor.offset);
    decode_first_row(tensor, bytes);
  }
  for (const auto& [key, value] : parsed->metadata.entries()) check_round_trip(value);
  for (const quantlane::Architecture* architecture : quantlane::architectures()) {
    const auto config = architecture->from_gguf(parsed->metadata, "input");
    QUANTLANE_CHECK(config.has_value() || !config.error().message().empty());
  }
  return 0;
}
