#include "model/weight.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/check.h"
#include "formats/ggml_inputs.h"
#include "model/graph.h"

namespace quantlane {

Weight::Weight(const Container* container, const TensorInfo* tensor, std::int64_t head_dim)
    : container_(container),
      tensor_(tensor),
      head_dim_(head_dim),
      rows_(tensor->rows()),
      cols_(tensor->cols()) {}

Weight::Weight(const Container* container, const TensorInfo* tensor, std::int64_t first_row,
               std::int64_t rows)
    : container_(container),
      tensor_(tensor),
      first_row_(first_row),
      rows_(rows),
      cols_(tensor->cols()) {
  QUANTLANE_CHECK(first_row >= 0 && rows >= 0 && first_row + rows <= tensor->rows());
}

Weight::Weight(std::shared_ptr<const QuantTensor> tensor, std::optional<ActivationScheme> input)
    : quantized_(std::move(tensor)),
      input_(input),
      rows_(quantized_->rows),
      cols_(quantized_->cols) {}

Weight::Weight(std::shared_ptr<const std::vector<float>> values, std::int64_t rows,
               std::int64_t cols)
    : values_(std::move(values)), rows_(rows), cols_(cols) {
  QUANTLANE_CHECK(static_cast<std::int64_t>(values_->size()) == rows * cols);
}

void Weight::edit(std::shared_ptr<const WeightEdit> edit, float offset,
                  std::shared_ptr<RowBlocks> blocks) {
  QUANTLANE_DCHECK(edit_fits(*edit, rows_, cols_));
  edits_.push_back({.edit = std::move(edit), .offset = offset, .blocks = std::move(blocks)});
}

void Weight::apply_factor(std::int64_t rows, float* values) const {
  if (factor_ == 1) return;
  for (std::int64_t i = 0; i < rows * cols_; ++i) values[i] *= factor_;
}

void Weight::decode_rows(std::int64_t begin, std::int64_t count, float* values) const {
  QUANTLANE_DCHECK(begin >= 0 && count >= 0 && begin + count <= rows_);
  decode_edited(edits_.size(), begin, count, values);
}

void Weight::decode_edited(std::size_t edits, std::int64_t begin, std::int64_t count,
                           float* values) const {
  if (edits == 0) {
    decode_stored(begin, count, values);
    apply_factor(count, values);
    return;
  }
  const Edit& last = edits_[edits - 1];
  if (last.edit->row_rotation != nullptr) {
    decode_mixed(edits, begin, count, values);
    return;
  }
  decode_edited(edits - 1, begin, count, values);
  apply_edit(*last.edit, begin, count, cols_, last.offset, values);
}

// The last of the edits makes a row from all rows of its block.
void Weight::decode_mixed(std::size_t edits, std::int64_t begin, std::int64_t count,
                          float* values) const {
  const Edit& last = edits_[edits - 1];
  const std::int64_t size = last.edit->row_rotation->size();
  const std::int64_t end = begin + count;
  for (std::int64_t row = begin; row < end;) {
    const std::int64_t first = row / size * size;
    const auto make = [&] {
      std::vector<float> block(static_cast<std::size_t>(size * cols_));
      decode_edited(edits - 1, first, size, block.data());
      apply_edit(*last.edit, first, size, cols_, last.offset, block.data());
      return block;
    };
    const RowBlocks::Block block = last.blocks == nullptr
                                       ? std::make_shared<const std::vector<float>>(make())
                                       : last.blocks->get(last.edit.get(), first / size, make);
    const std::int64_t taken = std::min(end, first + size) - row;
    std::copy_n(block->data() + (row - first) * cols_, taken * cols_,
                values + (row - begin) * cols_);
    row += taken;
  }
}

void Weight::decode_stored(std::int64_t begin, std::int64_t count, float* values) const {
  if (values_) {
    std::memcpy(values, values_->data() + begin * cols_,
                static_cast<std::size_t>(count * cols_) * sizeof(float));
    return;
  }
  if (quantized_) {
    quantized_->decode_rows(begin, count, values);
    return;
  }
  // Types that cannot be decoded were refused when the checkpoint was opened.
  if (head_dim_ == 0) {
    const auto decoded =
        quantlane::decode_rows(*container_, *tensor_, first_row_ + begin, count, values);
    QUANTLANE_CHECK(decoded.has_value());
    return;
  }
  for (std::int64_t r = 0; r < count; ++r) {
    const auto decoded = quantlane::decode_rows(
        *container_, *tensor_, permuted_qk_row(begin + r, head_dim_), 1, values + r * cols_);
    QUANTLANE_CHECK(decoded.has_value());
  }
}

std::string Weight::encoding() const {
  if (quantized_) return quantized_->scheme.spelling();
  if (tensor_ != nullptr) return std::string(tensor_->type.name());
  return "f32";
}

std::optional<ActivationScheme> Weight::engine_rounding() const {
  if (const BlockFormat* format = block_format()) return format->input;
  if (container_ == nullptr || container_->kind() != "gguf") return input_;
  if (tensor_->type.plain == DType::kF16) return kF16Input;
  if (tensor_->type.plain == DType::kBF16) return kBF16Input;
  return input_;
}

const std::byte* Weight::row_blocks(std::int64_t row) const {
  QUANTLANE_DCHECK(block_format() != nullptr && row >= 0 && row < rows_);
  const std::int64_t stored = first_row_ + (head_dim_ > 0 ? permuted_qk_row(row, head_dim_) : row);
  return container_->bytes(*tensor_).data() + stored * tensor_->type.block->row_bytes(cols_);
}

namespace {

// The tensor's bytes as T, nullptr when it is of another type, permuted or not aligned.
template <class T>
const T* direct_rows(const Container* container, const TensorInfo* tensor, std::int64_t head_dim,
                     std::int64_t first_row, DType dtype) {
  if (tensor == nullptr || head_dim > 0 || tensor->type != ElementType{.plain = dtype}) {
    return nullptr;
  }
  const std::byte* bytes = container->bytes(*tensor).data();
  if (reinterpret_cast<std::uintptr_t>(bytes) % alignof(T) != 0) return nullptr;
  return reinterpret_cast<const T*>(bytes) + first_row * tensor->cols();
}

}  // namespace

const std::uint16_t* Weight::bf16_rows() const {
  if (!edits_.empty() || factor_ != 1) return nullptr;
  return direct_rows<std::uint16_t>(container_, tensor_, head_dim_, first_row_, DType::kBF16);
}

const float* Weight::f32_rows() const {
  if (!edits_.empty() || factor_ != 1) return nullptr;
  if (values_) return values_->data();
  return direct_rows<float>(container_, tensor_, head_dim_, first_row_, DType::kF32);
}

}  // namespace quantlane
