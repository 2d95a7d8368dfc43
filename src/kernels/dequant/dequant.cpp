// Finds the decoder of a format and walks the groups of a quantized tensor.
#include "kernels/dequant.h"

#include <algorithm>
#include <array>

#include "core/check.h"
#include "kernels/dequant/dequant_table.h"

namespace quantlane::kernels {
namespace {

constexpr std::array kRows = {DequantRow{Isa::kAvx512, &kDequantAvx512},
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

const DequantRow& chosen() {
  static const DequantRow& row = *std::ranges::find_if(
      kRows, [](const DequantRow& candidate) { return candidate.isa <= active_isa(); });
  return row;
}

void decode_group(const DequantKernels& kernels, const QuantTensor& tensor, std::int64_t group,
                  const std::int8_t* codes, std::int64_t count, float* values) {
  const auto index = static_cast<std::size_t>(group);
  const float scale = tensor.scales[index];
  if (tensor.scheme.type == ValueType::kFloat) {
    kernels.e4m3(codes, count, scale, values);
  } else if (tensor.scheme.symmetric) {
    kernels.int_symmetric(codes, count, scale, values);
  } else {
    const float zero = tensor.zeros.empty()
                           ? 0.0F
                           : static_cast<float>(static_cast<std::uint8_t>(tensor.zeros[index]));
    kernels.int_asymmetric(codes, count, scale, zero, values);
  }
}

}  // namespace

std::span<const DequantRow> dequant_rows() { return kRows; }
std::span<const FastBlockFormat> fast_block_formats() { return kFastFormats; }

BlockDecode block_decode_with(const DequantRow& row, const BlockFormat& format) {
  if (row.kernels == nullptr) return format.decode;
  const auto* found = std::ranges::find(kFastFormats, format.name, &FastBlockFormat::name);
  return found == kFastFormats.end() ? format.decode : row.kernels->*(found->decode);
}

void decode_rows_with(const DequantRow& row, const QuantTensor& tensor, std::int64_t begin,
                      std::int64_t count, float* values) {
  // Columns in the order of their activation have groups in pieces: rare, left to the scalar code.
  if (row.kernels == nullptr || !tensor.group_of_column.empty()) {
    tensor.decode_rows(begin, count, values);
    return;
  }
  QUANTLANE_CHECK(begin >= 0 && count >= 0 && begin + count <= tensor.rows);
  const std::int64_t cols = tensor.cols;
  const bool per_tensor = tensor.scheme.granularity == Granularity::kTensor;
  const std::int64_t groups = tensor.scheme.groups_per_row(cols);
  const std::int64_t length = groups == 1 ? cols : tensor.scheme.group_size;
  for (std::int64_t r = begin; r < begin + count; ++r) {
    float* target = values + (r - begin) * cols;
    for (std::int64_t g = 0; g < groups; ++g) {
      const std::int64_t start = g * length;
      decode_group(*row.kernels, tensor, per_tensor ? 0 : r * groups + g,
                   tensor.codes.data() + r * cols + start, std::min(length, cols - start),
                   target + start);
    }
  }
}

BlockDecode block_decode(const BlockFormat& format) { return block_decode_with(chosen(), format); }

void decode_rows(const QuantTensor& tensor, std::int64_t begin, std::int64_t count, float* values) {
  decode_rows_with(chosen(), tensor, begin, count, values);
}

}  // namespace quantlane::kernels
