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
// Rows are asked only for ids that no format claims, so live types may stand here too.
constexpr std::array kKnownIds = {
    KnownId{2, 2, "q4_0 of llama.cpp"},
    KnownId{3, 3, "q4_1 of llama.cpp"},
    KnownId{6, 6, "q5_0 of llama.cpp"},
    KnownId{7, 7, "q5_1 of llama.cpp"},
    KnownId{8, 8, "q8_0 of llama.cpp"},
    KnownId{10, 10, "q2_k of llama.cpp"},
    KnownId{11, 11, "q3_k of llama.cpp"},
    KnownId{12, 12, "q4_k of llama.cpp"},
    KnownId{13, 13, "q5_k of llama.cpp"},
    KnownId{14, 14, "q6_k of llama.cpp"},
    KnownId{16, 16, "iq2_xxs of llama.cpp"},
    KnownId{17, 17, "iq2_xs of llama.cpp"},
    KnownId{18, 18, "iq3_xxs of llama.cpp"},
    KnownId{19, 19, "iq1_s of llama.cpp"},
    KnownId{20, 20, "iq4_nl of llama.cpp"},
    KnownId{21, 21, "iq3_s of llama.cpp"},
    KnownId{22, 22, "iq2_s of llama.cpp"},
    KnownId{23, 23, "iq4_xs of llama.cpp"},
    KnownId{29, 29, "iq1_m of llama.cpp"},
    KnownId{34, 34, "tq1_0 of llama.cpp"},
    KnownId{35, 35, "tq2_0 of llama.cpp"},
    KnownId{39, 39, "mxfp4 of llama.cpp"},
    KnownId{40, 40, "nvfp4 of llama.cpp"},
    KnownId{41, 41, "q1_0 of llama.cpp"},
    KnownId{42, 42, "q2_0 of llama.cpp"},
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
