#include "tensor/dtype.h"

#include <array>
#include <cstddef>
#include <cstring>

#include "core/check.h"
#include "core/half.h"

namespace quantlane {
namespace {

// Tags: safetensors' Dtype names. Ids: ggml.h (enum ggml_type).
constexpr std::array kTable = {
    DTypeRow{DType::kF32, "f32", "F32", 0, 4},
    DTypeRow{DType::kF16, "f16", "F16", 1, 2},
    DTypeRow{DType::kBF16, "bf16", "BF16", 30, 2},
    DTypeRow{DType::kF64, "f64", "F64", 28, 8},
    DTypeRow{DType::kF8E4M3, "f8_e4m3", "F8_E4M3", -1, 1},
    DTypeRow{DType::kF8E5M2, "f8_e5m2", "F8_E5M2", -1, 1},
    DTypeRow{DType::kF8E8M0, "f8_e8m0", "F8_E8M0", -1, 1},
    DTypeRow{DType::kI8, "i8", "I8", 24, 1},
    DTypeRow{DType::kI16, "i16", "I16", 25, 2},
    DTypeRow{DType::kI32, "i32", "I32", 26, 4},
    DTypeRow{DType::kI64, "i64", "I64", 27, 8},
    DTypeRow{DType::kU8, "u8", "U8", -1, 1},
    DTypeRow{DType::kU16, "u16", "U16", -1, 2},
    DTypeRow{DType::kU32, "u32", "U32", -1, 4},
    DTypeRow{DType::kU64, "u64", "U64", -1, 8},
    DTypeRow{DType::kBool, "bool", "BOOL", -1, 1},
};

template <class Match>
std::optional<DType> lookup(Match match) {
  for (const auto& row : kTable) {
    if (match(row)) return row.dtype;
  }
  return std::nullopt;
}

template <class Stored, class Convert>
void decode_each(const std::byte* source, std::int64_t count, float* values, Convert convert) {
  for (std::int64_t i = 0; i < count; ++i) {
    Stored stored;
    std::memcpy(&stored, source + static_cast<std::size_t>(i) * sizeof(Stored), sizeof(Stored));
    values[i] = convert(stored);
  }
}

template <class Stored>
void decode_numbers(const std::byte* source, std::int64_t count, float* values) {
  decode_each<Stored>(source, count, values, [](Stored v) { return static_cast<float>(v); });
}

// E5M2 is binary16 without its low byte.
float e5m2_to_f32(std::uint8_t code) { return f16_to_f32(static_cast<std::uint16_t>(code << 8)); }

// The type of most checkpoints: halves of words, in pieces that vectors take.
void decode_bf16(const std::byte* source, std::int64_t count, float* values) {
  constexpr std::int64_t kPiece = 16;
  std::int64_t i = 0;
  for (; i + kPiece <= count; i += kPiece) {
    std::uint16_t stored[kPiece];
    std::uint32_t bits[kPiece];
    std::memcpy(stored, source + 2 * i, sizeof stored);
    for (std::int64_t l = 0; l < kPiece; ++l) bits[l] = std::uint32_t{stored[l]} << 16;
    std::memcpy(values + i, bits, sizeof bits);
  }
  decode_each<std::uint16_t>(source + 2 * i, count - i, values + i, bf16_to_f32);
}

}  // namespace

std::span<const DTypeRow> dtype_table() { return kTable; }

const DTypeRow& dtype_row(DType dtype) {
  for (const auto& row : kTable) {
    if (row.dtype == dtype) return row;
  }
  QUANTLANE_CHECK(false);
}

std::optional<DType> dtype_from_safetensors(std::string_view tag) {
  return lookup([tag](const DTypeRow& row) { return row.safetensors_tag == tag; });
}
std::optional<DType> dtype_from_ggml(int id) {
  return lookup([id](const DTypeRow& row) { return row.ggml_id == id && id >= 0; });
}
std::optional<DType> dtype_from_name(std::string_view name) {
  return lookup([name](const DTypeRow& row) { return row.name == name; });
}

bool is_float(DType dtype) {
  return dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16 ||
         dtype == DType::kF64 || dtype == DType::kF8E4M3 || dtype == DType::kF8E5M2 ||
         dtype == DType::kF8E8M0;
}

void decode_plain(DType dtype, const std::byte* source, std::int64_t count, float* values) {
  switch (dtype) {
    case DType::kF32:
      std::memcpy(values, source, static_cast<std::size_t>(count) * 4);
      return;
    case DType::kF16:
      return decode_each<std::uint16_t>(source, count, values, f16_to_f32);
    case DType::kBF16:
      return decode_bf16(source, count, values);
    case DType::kF64:
      return decode_numbers<double>(source, count, values);
    case DType::kF8E4M3:
      return decode_each<std::uint8_t>(source, count, values, e4m3_to_f32);
    case DType::kF8E5M2:
      return decode_each<std::uint8_t>(source, count, values, e5m2_to_f32);
    case DType::kF8E8M0:
      return decode_each<std::uint8_t>(source, count, values, e8m0_to_f32);
    case DType::kI8:
      return decode_numbers<std::int8_t>(source, count, values);
    case DType::kI16:
      return decode_numbers<std::int16_t>(source, count, values);
    case DType::kI32:
      return decode_numbers<std::int32_t>(source, count, values);
    case DType::kI64:
      return decode_numbers<std::int64_t>(source, count, values);
    case DType::kBool:
    case DType::kU8:
      return decode_numbers<std::uint8_t>(source, count, values);
    case DType::kU16:
      return decode_numbers<std::uint16_t>(source, count, values);
    case DType::kU32:
      return decode_numbers<std::uint32_t>(source, count, values);
    case DType::kU64:
      return decode_numbers<std::uint64_t>(source, count, values);
  }
}

void encode_plain(DType dtype, const float* values, std::int64_t count, std::byte* target) {
  QUANTLANE_CHECK(dtype == DType::kF32 || dtype == DType::kF16 || dtype == DType::kBF16 ||
                  dtype == DType::kF8E4M3 || dtype == DType::kF8E8M0);
  if (dtype == DType::kF32) {
    std::memcpy(target, values, static_cast<std::size_t>(count) * 4);
    return;
  }
  if (dtype == DType::kF8E4M3 || dtype == DType::kF8E8M0) {
    for (std::int64_t i = 0; i < count; ++i) {
      target[i] = static_cast<std::byte>(dtype == DType::kF8E4M3 ? f32_to_e4m3(values[i])
                                                                 : f32_to_e8m0(values[i]));
    }
    return;
  }
  for (std::int64_t i = 0; i < count; ++i) {
    const std::uint16_t bits =
        dtype == DType::kF16 ? f32_to_f16(values[i]) : f32_to_bf16(values[i]);
    std::memcpy(target + 2 * i, &bits, 2);
  }
}

}  // namespace quantlane
