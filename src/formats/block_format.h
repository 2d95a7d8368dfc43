// Contract of the ggml block formats: a row of a matrix is a whole number of blocks, scales inside.
// One file pair and one row in block_formats() each; ids, names and sizes stand in the row only.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "formats/scheme.h"

namespace quantlane {

struct BlockGrid;

struct BlockFormat {
  std::string_view name;  // "q4_k"
  int ggml_id;
  int block_values;  // values per block
  int block_bytes;   // bytes per block
  // What llama.cpp rounds the inputs of a product with such rows to (formats/ggml_inputs.h).
  ActivationScheme input;
  // blocks -> block_count * block_values float32, bit-exact to ggml's dequantization
  // (ggml-quants.c): plain C arithmetic, one rounding per operation, no fused multiply-add.
  void (*decode)(const std::byte* blocks, std::int64_t block_count, float* values);
  // `count` values (a multiple of block_values; one row or a part of it that starts at a block) ->
  // blocks. `importance`: per value, >= 0, same length, or empty. Finite input. Deterministic.
  // nullptr where only reading is supported.
  void (*encode)(std::span<const float> values, std::span<const float> importance,
                 std::byte* blocks);
  // Upper bound of the relative RMSE of decode(encode(x)) on N(0,1) rows of 4096, no importance.
  double error_bound;
  // What a row falls back to when its length is no multiple of block_values (llama.cpp's table);
  // empty = f16.
  std::string_view fallback;
  // How a block is made of codes and scales (block_grid.h); nullptr where codes stand for several
  // values at once or scales for a power of two.
  const BlockGrid* grid = nullptr;
  // Magnitudes that scales reach, whatever the codes; larger ones would collapse.
  float largest = 65504;
  // A matrix is stored divided by a factor that brings its largest magnitude to `largest`, beside
  // it as ".scale" (model/gguf_factors.h): scales have too few bits to do without.
  bool takes_factor = false;
  // Whether a block holds codes and scales that the type has; nullptr where any bytes do.
  bool (*valid)(const std::byte* block) = nullptr;

  [[nodiscard]] double bits_per_weight() const { return 8.0 * block_bytes / block_values; }
  [[nodiscard]] std::int64_t row_bytes(std::int64_t cols) const {
    return cols / block_values * block_bytes;
  }
};

std::span<const BlockFormat* const> block_formats();
const BlockFormat* block_format_by_name(std::string_view name);
const BlockFormat* block_format_by_ggml_id(int id);

}  // namespace quantlane
