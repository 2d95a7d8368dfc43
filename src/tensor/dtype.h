// Plain element types: one value after another, no blocks. Block formats live in formats/.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace quantlane {

enum class DType : std::uint8_t {
  kF32,
  kF16,
  kBF16,
  kF64,
  kF8E4M3,
  kF8E5M2,
  kF8E8M0,
  kI8,
  kI16,
  kI32,
  kI64,
  kU8,
  kU16,
  kU32,
  kU64,
  kBool,
};

struct DTypeRow {
  DType dtype;
  std::string_view name;             // "bf16"
  std::string_view safetensors_tag;  // "BF16"
  int ggml_id;                       // -1 where GGUF has no such type
  int size_bytes;
};

std::span<const DTypeRow> dtype_table();
const DTypeRow& dtype_row(DType dtype);
std::optional<DType> dtype_from_safetensors(std::string_view tag);
std::optional<DType> dtype_from_ggml(int id);
std::optional<DType> dtype_from_name(std::string_view name);
[[nodiscard]] bool is_float(DType dtype);

// Converts `count` stored values of `dtype` (little endian, any alignment) to float32.
void decode_plain(DType dtype, const std::byte* source, std::int64_t count, float* values);
// Converts float32 to `dtype`, which must be kF32, kF16, kBF16, kF8E4M3 or kF8E8M0 (powers
// of two only).
void encode_plain(DType dtype, const float* values, std::int64_t count, std::byte* target);

}  // namespace quantlane
