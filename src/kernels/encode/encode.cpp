// Scale of a row from its largest magnitude, then the codes.
#include "kernels/encode.h"

#include <algorithm>
#include <array>

#include "core/half.h"
#include "formats/scale_storage.h"
#include "kernels/encode/encode_table.h"

namespace quantlane::kernels {
namespace {

constexpr std::array kEncodeRows = {EncodeRow{Isa::kAvx512, &kEncodeAvx512},
                                    EncodeRow{Isa::kAvx2, &kEncodeAvx2},
                                    EncodeRow{Isa::kRef, &kEncodeRef}};
constexpr float kInt8HalfSteps = 127.5F;
constexpr float kLargestE4M3 = 448.0F;
constexpr std::uint16_t kLargestFinite = 0x7F7F;

const EncodeKernels& chosen_encode() {
  static const EncodeKernels& kernels =
      *std::ranges::find_if(kEncodeRows, [](const EncodeRow& row) {
         return row.isa <= active_isa();
       })->kernels;
  return kernels;
}

EncodedRow scale_of(const EncodeKernels& kernels, const std::uint16_t* bf16, std::int64_t cols,
                    float divisor) {
  const std::uint16_t largest = kernels.largest_bf16(bf16, cols);
  return {.scale = storable_scale(bf16_to_f32(largest) / divisor, DType::kBF16),
          .finite = largest <= kLargestFinite};
}

}  // namespace

std::span<const EncodeRow> encode_rows() { return kEncodeRows; }

EncodedRow encode_int8_with(const EncodeKernels& kernels, const std::uint16_t* bf16,
                            std::int64_t cols, std::int8_t* codes) {
  const EncodedRow row = scale_of(kernels, bf16, cols, kInt8HalfSteps);
  if (row.finite) kernels.codes_int8(bf16, cols, row.scale, codes);
  return row;
}

EncodedRow encode_e4m3_with(const EncodeKernels& kernels, const std::uint16_t* bf16,
                            std::int64_t cols, std::int8_t* codes) {
  const EncodedRow row = scale_of(kernels, bf16, cols, kLargestE4M3);
  if (row.finite) kernels.codes_e4m3(bf16, cols, row.scale, codes);
  return row;
}

EncodedRow encode_row_int8(const std::uint16_t* bf16, std::int64_t cols, std::int8_t* codes) {
  return encode_int8_with(chosen_encode(), bf16, cols, codes);
}

EncodedRow encode_row_e4m3(const std::uint16_t* bf16, std::int64_t cols, std::int8_t* codes) {
  return encode_e4m3_with(chosen_encode(), bf16, cols, codes);
}

}  // namespace quantlane::kernels
