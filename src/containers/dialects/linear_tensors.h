// The tensors of one quantized Linear, each checked before it is read; errors name file and tensor.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "containers/container.h"
#include "containers/dialects/dialect.h"
#include "formats/quant_tensor.h"

namespace quantlane {

// The types that scales of integers and FP8 have.
constexpr std::initializer_list<DType> kPlainScaleTypes = {DType::kBF16, DType::kF16, DType::kF32};

class LinearTensors {
 public:
  // `dialect` names the dialect in messages. The container outlives this object.
  LinearTensors(const Container& container, std::string_view module, std::string_view dialect);

  [[nodiscard]] bool has(std::string_view suffix) const { return find(suffix) != nullptr; }
  [[nodiscard]] const TensorInfo* find(std::string_view suffix) const;
  // The tensor "<module>.<suffix>" of one of `types` and this shape (extents of 1 aside).
  [[nodiscard]] Result<const TensorInfo*> require(std::string_view suffix,
                                                  std::initializer_list<DType> types,
                                                  const std::vector<std::int64_t>& shape) const;
  [[nodiscard]] std::span<const std::byte> bytes(const TensorInfo& tensor) const {
    return container_.bytes(tensor);
  }
  // All values of a tensor of floats; kCorrupt when one is NaN or infinite.
  [[nodiscard]] Result<std::vector<float>> finite_values(const TensorInfo& tensor) const;
  // The scales of `weight` and their type, as they are stored; E8M0, which its scheme says, may be
  // in bytes. kCorrupt when one is NaN or infinite.
  [[nodiscard]] Result<void> read_scales(const TensorInfo& tensor, QuantTensor& weight) const;
  // The same of scales [groups, rows].
  [[nodiscard]] Result<void> read_group_major_scales(const TensorInfo& tensor,
                                                     QuantTensor& weight) const;
  // The one value of a tensor that require() gave; kCorrupt unless positive and finite.
  [[nodiscard]] Result<float> positive_scalar(const TensorInfo& tensor) const;
  // Values of an I32 tensor [cols], each a group below `groups`; empty when they are
  // column / group_size.
  [[nodiscard]] Result<std::vector<std::int32_t>> group_order(const TensorInfo& tensor,
                                                              std::int64_t groups,
                                                              std::int64_t group_size) const;

  // "reading a <dialect> weight" in the file of `tensor`, or of the module as a whole.
  [[nodiscard]] Error wrong(const TensorInfo& tensor) const;
  [[nodiscard]] Error wrong_module() const;

 private:
  [[nodiscard]] std::string attempt() const;
  [[nodiscard]] std::string advice_for_missing() const;
  const Container& container_;
  std::string module_;
  std::string_view dialect_;
};

// What unpack() fills: `scheme` and the shape, no codes yet.
StoredLinear empty_linear(const LinearScheme& scheme, std::int64_t rows, std::int64_t cols);
// One byte per code.
std::vector<std::int8_t> byte_codes(std::span<const std::byte> bytes);
// Two codes of 4 bits per byte, the first in the low nibble.
std::vector<std::int8_t> nibble_codes(std::span<const std::byte> bytes);
// values [lines, width] as [width, lines].
std::vector<float> transposed(std::span<const float> values, std::int64_t lines,
                              std::int64_t width);
}  // namespace quantlane
