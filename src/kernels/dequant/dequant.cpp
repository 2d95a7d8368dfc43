// Finds the decoder of a format and walks the groups of a quantized tensor.
#include "kernels/dequant.h"

#include <algorithm>
#include <array>
#include <vector>

#include "core/check.h"
#include "formats/code_tables.h"
#include "formats/group_format.h"
#include "kernels/dequant/dequant_table.h"

namespace quantlane::kernels {
namespace {

constexpr std::array kDequantRows = {DequantRow{Isa::kAvx512, &kDequantAvx512},
                                     DequantRow{Isa::kAvx2, &kDequantAvx2},
                                     DequantRow{Isa::kRef, nullptr}};

constexpr std::array kFastFormats = {FastBlockFormat{"q4_0", &DequantKernels::q4_0},
                                     FastBlockFormat{"q4_1", &DequantKernels::q4_1},
                                     FastBlockFormat{"q5_0", &DequantKernels::q5_0},
                                     FastBlockFormat{"q5_1", &DequantKernels::q5_1},
                                     FastBlockFormat{"q8_0", &DequantKernels::q8_0},
                                     FastBlockFormat{"q2_k", &DequantKernels::q2_k},
                                     FastBlockFormat{"q3_k", &DequantKernels::q3_k},
                                     FastBlockFormat{"q4_k", &DequantKernels::q4_k},
                                     FastBlockFormat{"q5_k", &DequantKernels::q5_k},
                                     FastBlockFormat{"q6_k", &DequantKernels::q6_k},
                                     FastBlockFormat{"iq4_nl", &DequantKernels::iq4_nl},
                                     FastBlockFormat{"iq4_xs", &DequantKernels::iq4_xs},
                                     FastBlockFormat{"tq2_0", &DequantKernels::tq2_0}};

const DequantRow& chosen_dequant() {
  static const DequantRow& row = *std::ranges::find_if(
      kDequantRows, [](const DequantRow& candidate) { return candidate.isa <= active_isa(); });
  return row;
}

void decode_group(const DequantKernels& kernels, const QuantTensor& tensor, std::int64_t group,
                  const std::int8_t* codes, std::int64_t count, float* values) {
  const Scheme& scheme = tensor.scheme;
  const float scale = tensor.effective_scale(group);
  if (scheme.type == ValueType::kNormalFloat) {
    kernels.lookup(codes, count, kNf4Values, scale, values);
  } else if (scheme.type == ValueType::kFloat && scheme.bits == 4) {
    kernels.lookup(codes, count, kE2M1Values, scale, values);
  } else if (scheme.type == ValueType::kFloat) {
    kernels.e4m3(codes, count, scale, values);
  } else if (scheme.symmetric) {
    kernels.int_symmetric(codes, count, scale, values);
  } else {
    kernels.int_asymmetric(codes, count, scale, tensor.zero_point(group), values);
  }
}

void round_row(const DequantKernels& kernels, DType dtype, float* values, std::int64_t count) {
  if (dtype == DType::kF16) kernels.round_f16(values, count);
  if (dtype == DType::kBF16) kernels.round_bf16(values, count);
}

// One row of integers whose columns are in the order of their activation: neighbours have
// different groups, so each value looks its parameters up.
void decode_scattered(const QuantTensor& tensor, std::int64_t row, float* values) {
  const std::int64_t groups = tensor.scheme.groups_per_row(tensor.cols);
  const std::int64_t first = tensor.scheme.first_scale(row, tensor.cols);
  std::vector<GroupParams> params(static_cast<std::size_t>(groups));
  for (std::int64_t g = 0; g < groups; ++g) {
    params[static_cast<std::size_t>(g)] = {.scale = tensor.effective_scale(first + g),
                                           .zero = tensor.zero_point(first + g)};
  }
  const std::int8_t* codes = tensor.codes.data() + row * tensor.cols;
  const std::int32_t* group = tensor.group_of_column.data();
  const bool is_signed = tensor.scheme.symmetric;
  for (std::int64_t c = 0; c < tensor.cols; ++c) {
    const int code = is_signed ? codes[c] : static_cast<std::uint8_t>(codes[c]);
    const GroupParams& own = params[static_cast<std::size_t>(group[c])];
    values[c] = (static_cast<float>(code) - own.zero) * own.scale;
  }
}

}  // namespace

std::span<const DequantRow> dequant_rows() { return kDequantRows; }
std::span<const FastBlockFormat> fast_block_formats() { return kFastFormats; }

BlockDecode block_decode_with(const DequantRow& row, const BlockFormat& format) {
  if (row.kernels == nullptr) return format.decode;
  const auto* found = std::ranges::find(kFastFormats, format.name, &FastBlockFormat::name);
  return found == kFastFormats.end() ? format.decode : row.kernels->*(found->decode);
}

void decode_rows_with(const DequantRow& row, const QuantTensor& tensor, std::int64_t begin,
                      std::int64_t count, float* values) {
  if (row.kernels == nullptr) {
    tensor.decode_rows(begin, count, values);
    return;
  }
  QUANTLANE_CHECK(begin >= 0 && count >= 0 && begin + count <= tensor.rows);
  QUANTLANE_CHECK(tensor.group_of_column.empty() || tensor.scheme.type == ValueType::kInt);
  const std::int64_t cols = tensor.cols;
  const std::int64_t groups = tensor.scheme.groups_per_row(cols);
  const std::int64_t length = groups == 1 ? cols : tensor.scheme.group_size;
  for (std::int64_t r = begin; r < begin + count; ++r) {
    float* target = values + (r - begin) * cols;
    const std::int64_t first = tensor.scheme.first_scale(r, cols);
    if (!tensor.group_of_column.empty()) {
      decode_scattered(tensor, r, target);
    } else {
      for (std::int64_t g = 0; g < groups; ++g) {
        const std::int64_t start = g * length;
        decode_group(*row.kernels, tensor, first + g, tensor.codes.data() + r * cols + start,
                     std::min(length, cols - start), target + start);
      }
    }
    round_row(*row.kernels, tensor.scheme.rounding.value, target, cols);
  }
}

BlockDecode block_decode(const BlockFormat& format) {
  return block_decode_with(chosen_dequant(), format);
}

void decode_rows(const QuantTensor& tensor, std::int64_t begin, std::int64_t count, float* values) {
  decode_rows_with(chosen_dequant(), tensor, begin, count, values);
}

}  // namespace quantlane::kernels
