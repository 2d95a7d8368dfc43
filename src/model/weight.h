// One parameter of an opened checkpoint, whatever its storage: a cheap handle that decodes rows.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "containers/container.h"
#include "formats/quant_tensor.h"
#include "model/row_blocks.h"
#include "model/weight_edit.h"

namespace quantlane {

// Immutable and thread-safe; keeps what it points into alive through the Checkpoint that gave it.
class Weight {
 public:
  Weight() = default;
  // A tensor stored as it is. `head_dim` > 0: the stored rows are permuted per head (GGUF q/k).
  Weight(const Container* container, const TensorInfo* tensor, std::int64_t head_dim = 0);
  // Rows [first_row, first_row + rows) of a tensor that several parameters share.
  Weight(const Container* container, const TensorInfo* tensor, std::int64_t first_row,
         std::int64_t rows);
  // A Linear in quantized form, with the rounding of its inputs.
  Weight(std::shared_ptr<const QuantTensor> tensor, std::optional<ActivationScheme> input);
  // Float values made elsewhere (tests, merged adapters): [rows, cols].
  Weight(std::shared_ptr<const std::vector<float>> values, std::int64_t rows, std::int64_t cols);

  // From now on decode_rows() applies `edit`, after those before it. `offset`: what stored values
  // lack of those that are applied (1 for the norms of Gemma). The direct ways to what is stored,
  // below, are closed then.
  // `blocks` keeps the decoded rows that a row_rotation mixes; null: each call makes them anew.
  void edit(std::shared_ptr<const WeightEdit> edit, float offset,
            std::shared_ptr<RowBlocks> blocks = nullptr);

  // From now on what is stored counts `factor` times; blocks keep their format, plain rows are not
  // read directly any more.
  void scale_by(float factor) { factor_ *= factor; }
  // What row_blocks() are to be multiplied with, and that done to `values` [rows, cols].
  [[nodiscard]] float factor() const { return factor_; }
  void apply_factor(std::int64_t rows, float* values) const;

  [[nodiscard]] bool valid() const { return rows_ > 0; }
  [[nodiscard]] std::int64_t rows() const { return rows_; }
  [[nodiscard]] std::int64_t cols() const { return cols_; }
  // Rows [begin, begin + count) as float32 [count, cols].
  void decode_rows(std::int64_t begin, std::int64_t count, float* values) const;
  // What is stored: "bf16", "q4_k", "int4_g128_sym", …
  [[nodiscard]] std::string encoding() const;
  // How the checkpoint asks for inputs to be rounded before the product, if it does.
  [[nodiscard]] std::optional<ActivationScheme> input_rounding() const { return input_; }
  // How llama.cpp rounds them: set for weights of a GGUF file but float32, else input_rounding().
  [[nodiscard]] std::optional<ActivationScheme> engine_rounding() const;
  // Stored as codes, by a dialect or in blocks.
  [[nodiscard]] bool is_quantized() const {
    return quantized_ != nullptr || (tensor_ != nullptr && tensor_->type.block != nullptr);
  }
  // Contiguous unpermuted bf16 / float32 rows for kernels that read them directly, else nullptr.
  [[nodiscard]] const std::uint16_t* bf16_rows() const;
  [[nodiscard]] const float* f32_rows() const;
  // What fast decoders read. The matrix with scales beside its codes, else nullptr.
  [[nodiscard]] const QuantTensor* quantized() const {
    return edits_.empty() ? quantized_.get() : nullptr;
  }
  // The format of rows stored as blocks, else nullptr; and the blocks of logical row `row`.
  [[nodiscard]] const BlockFormat* block_format() const {
    return tensor_ == nullptr || !edits_.empty() ? nullptr : tensor_->type.block;
  }
  [[nodiscard]] const std::byte* row_blocks(std::int64_t row) const;

 private:
  struct Edit {
    std::shared_ptr<const WeightEdit> edit;
    float offset;
    std::shared_ptr<RowBlocks> blocks;
  };
  void decode_stored(std::int64_t begin, std::int64_t count, float* values) const;
  // Under the first `edits` of edits_.
  void decode_edited(std::size_t edits, std::int64_t begin, std::int64_t count,
                     float* values) const;
  void decode_mixed(std::size_t edits, std::int64_t begin, std::int64_t count, float* values) const;
  const Container* container_ = nullptr;
  const TensorInfo* tensor_ = nullptr;
  std::int64_t head_dim_ = 0;
  std::int64_t first_row_ = 0;  // of the tensor's
  std::shared_ptr<const QuantTensor> quantized_;
  std::shared_ptr<const std::vector<float>> values_;
  std::optional<ActivationScheme> input_;
  std::vector<Edit> edits_;
  float factor_ = 1;
  std::int64_t rows_ = 0;
  std::int64_t cols_ = 0;
};

}  // namespace quantlane
