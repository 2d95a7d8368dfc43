#include "containers/container.h"

#include <fmt/format.h>

#include "core/check.h"

namespace quantlane {

std::string_view ElementType::name() const {
  return block != nullptr ? block->name : dtype_row(plain).name;
}

std::uint64_t ElementType::bytes_of(std::int64_t count) const {
  if (block != nullptr) return static_cast<std::uint64_t>(block->row_bytes(count));
  return static_cast<std::uint64_t>(count) *
         static_cast<std::uint64_t>(dtype_row(plain).size_bytes);
}

std::int64_t TensorInfo::element_count() const {
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) count *= extent;
  return count;
}

std::int64_t TensorInfo::rows() const {
  std::int64_t count = 1;
  for (std::size_t i = 0; i + 1 < shape.size(); ++i) count *= shape[i];
  return count;
}

std::uint64_t PlannedTensor::size_bytes() const {
  std::uint64_t rows = 1;
  for (std::size_t i = 0; i + 1 < shape.size(); ++i) rows *= static_cast<std::uint64_t>(shape[i]);
  return rows * type.bytes_of(shape.empty() ? 1 : shape.back());
}

Error at_tensor(Error error, const Container& container, const TensorInfo& tensor) {
  return std::move(error).in(container.files()[tensor.shard]).of(tensor.name).at(tensor.offset);
}

Result<void> decode_rows(const Container& container, const TensorInfo& tensor, std::int64_t begin,
                         std::int64_t count, float* values) {
  const auto describe = [&](Error&& error) {
    return fail(at_tensor(std::move(error), container, tensor));
  };
  if (begin < 0 || count < 0 || begin > tensor.rows() || count > tensor.rows() - begin) {
    return describe(invalid("decoding rows of a tensor")
                        .expects(fmt::format("rows within 0..{}", tensor.rows()))
                        .got(fmt::format("{} rows from row {}", count, begin)));
  }
  const ElementType& type = tensor.type;
  if (type.block == nullptr && !is_float(type.plain)) {
    return describe(unsupported("decoding rows of a tensor")
                        .expects("a float type or a block format")
                        .got(std::string(type.name())));
  }
  const std::int64_t cols = tensor.cols();
  const std::uint64_t row_bytes = type.bytes_of(cols);
  const std::byte* source =
      container.bytes(tensor).data() + static_cast<std::uint64_t>(begin) * row_bytes;
  if (type.block != nullptr) {
    type.block->decode(source, count * (cols / type.block->block_values), values);
  } else {
    decode_plain(type.plain, source, count * cols, values);
  }
  return {};
}

}  // namespace quantlane
