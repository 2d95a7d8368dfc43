// Which type ids GGUF tensors may have, and the names of those that are refused.
#include <array>
#include <optional>

#include <fmt/format.h>

#include "containers/gguf.h"

namespace quantlane {
namespace {

struct KnownId {
  std::uint32_t first;
  std::uint32_t last;
  std::string_view what;
};

// ggml.h (enum ggml_type): mainline at ggml 0.25 and ik_llama.cpp of August 2026.
constexpr std::array kKnownIds = {
    KnownId{4, 4, "q4_2, retired in 2023"},
    KnownId{5, 5, "q4_3, retired in 2023"},
    KnownId{9, 9, "q8_1, for activations only"},
    KnownId{15, 15, "q8_k, for activations only"},
    KnownId{31, 31, "q4_0_4_4, retired: quantize to q4_0, engines repack it on loading"},
    KnownId{32, 32, "q4_0_4_8, retired: quantize to q4_0, engines repack it on loading"},
    KnownId{33, 33, "q4_0_8_8, retired: quantize to q4_0, engines repack it on loading"},
    KnownId{36, 36, "iq4_nl_4_4 (retired), or i2_s of ik_llama.cpp and bitnet.cpp"},
    KnownId{37, 38, "a row-interleaved iq4_nl, retired"},
    KnownId{133, 133, "q6_0 of ik_llama.cpp"},
    KnownId{134, 134, "iq1_bn of ik_llama.cpp"},
    KnownId{135, 135, "iq2_bn of ik_llama.cpp"},
    KnownId{137, 137, "iq2_k of ik_llama.cpp"},
    KnownId{138, 138, "iq3_k of ik_llama.cpp"},
    KnownId{139, 139, "iq4_k of ik_llama.cpp"},
    KnownId{140, 140, "iq5_k of ik_llama.cpp"},
    KnownId{141, 141, "iq6_k of ik_llama.cpp"},
    KnownId{144, 144, "iq4_ks of ik_llama.cpp"},
    KnownId{145, 145, "iq2_ks of ik_llama.cpp"},
    KnownId{146, 146, "iq4_kss of ik_llama.cpp"},
    KnownId{152, 152, "iq5_ks of ik_llama.cpp"},
    KnownId{153, 153, "iq2_kt of ik_llama.cpp"},
    KnownId{154, 154, "iq3_kt of ik_llama.cpp"},
    KnownId{155, 155, "iq4_kt of ik_llama.cpp"},
    KnownId{156, 156, "iq3_ks of ik_llama.cpp"},
    KnownId{157, 157, "iq2_kl of ik_llama.cpp"},
    KnownId{158, 158, "iq1_kt of ik_llama.cpp"},
    KnownId{133, 158, "a type of ik_llama.cpp"},
    KnownId{202, 399, "a row-interleaved type (_r4, _r8, _r16) of ik_llama.cpp"},
};

}  // namespace

std::expected<ElementType, std::string> ggml_element_type(std::uint32_t id) {
  if (id <= 399) {
    const int number = static_cast<int>(id);
    if (const auto plain = dtype_from_ggml(number)) return ElementType{.plain = *plain};
    if (const BlockFormat* block = block_format_by_ggml_id(number)) {
      return ElementType{.block = block};
    }
    for (const KnownId& known : kKnownIds) {
      if (id >= known.first && id <= known.last) {
        return std::unexpected(fmt::format("type {} ({})", id, known.what));
      }
    }
  }
  return std::unexpected(fmt::format("type {} (unknown)", id));
}

std::optional<std::uint32_t> ggml_type_id(const ElementType& type) {
  const int id = type.block != nullptr ? type.block->ggml_id : dtype_row(type.plain).ggml_id;
  if (id < 0) return std::nullopt;
  return static_cast<std::uint32_t>(id);
}

}  // namespace quantlane
