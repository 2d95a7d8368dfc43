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

// What no format claims. Ids: ggml.h (enum ggml_type) of llama.cpp at ggml 0.25 and of ik_llama.cpp
// of August 2026, whose _r4, _r8 and _r16 types interleave rows. The first row that fits counts.
constexpr std::array kKnownIds = {
    KnownId{4, 4, "q4_2, retired in 2023"},
    KnownId{5, 5, "q4_3, retired in 2023"},
    KnownId{9, 9, "q8_1, for activations only"},
    KnownId{15, 15, "q8_k, for activations only"},
    KnownId{31, 31, "q4_0_4_4, retired: quantize to q4_0, engines repack it on loading"},
    KnownId{32, 32, "q4_0_4_8, retired: quantize to q4_0, engines repack it on loading"},
    KnownId{33, 33, "q4_0_8_8, retired: quantize to q4_0, engines repack it on loading"},
    KnownId{36, 36, "iq4_nl_4_4 (retired), or i2_s of ik_llama.cpp and bitnet.cpp"},
    KnownId{37, 37, "iq4_nl_4_8, retired"},
    KnownId{38, 38, "iq4_nl_8_8, retired"},
    KnownId{97, 97, "q8_0_x4 of ik_llama.cpp"},
    KnownId{98, 98, "q8_1_x4 of ik_llama.cpp"},
    KnownId{99, 99, "q8_2_x4 of ik_llama.cpp"},
    KnownId{133, 133, "q6_0 of ik_llama.cpp"},
    KnownId{134, 134, "iq1_bn of ik_llama.cpp"},
    KnownId{135, 135, "iq2_bn of ik_llama.cpp"},
    KnownId{136, 136, "q8_k64 of ik_llama.cpp"},
    KnownId{137, 137, "iq2_k of ik_llama.cpp"},
    KnownId{138, 138, "iq3_k of ik_llama.cpp"},
    KnownId{139, 139, "iq4_k of ik_llama.cpp"},
    KnownId{140, 140, "iq5_k of ik_llama.cpp"},
    KnownId{141, 141, "iq6_k of ik_llama.cpp"},
    KnownId{142, 142, "iq2_tn of ik_llama.cpp (retired), or pq2_0 of PrismML's llama.cpp"},
    KnownId{143, 143, "iq1_tn (retired) of ik_llama.cpp"},
    KnownId{144, 144, "iq4_ks of ik_llama.cpp"},
    KnownId{145, 145, "iq2_ks of ik_llama.cpp"},
    KnownId{146, 146, "iq4_kss of ik_llama.cpp"},
    KnownId{147, 147, "q8_k16 of ik_llama.cpp"},
    KnownId{148, 148, "q8_k32 of ik_llama.cpp"},
    KnownId{149, 149, "q8_kr8 of ik_llama.cpp"},
    KnownId{150, 150, "q8_k128 of ik_llama.cpp"},
    KnownId{151, 151, "q8_kv of ik_llama.cpp"},
    KnownId{152, 152, "iq5_ks of ik_llama.cpp"},
    KnownId{153, 153, "iq2_kt of ik_llama.cpp"},
    KnownId{154, 154, "iq3_kt of ik_llama.cpp"},
    KnownId{155, 155, "iq4_kt of ik_llama.cpp"},
    KnownId{156, 156, "iq3_ks of ik_llama.cpp"},
    KnownId{157, 157, "iq2_kl of ik_llama.cpp"},
    KnownId{158, 158, "iq1_kt of ik_llama.cpp"},
    KnownId{202, 202, "q4_0_r8 of ik_llama.cpp"},
    KnownId{206, 206, "q5_0_r4 of ik_llama.cpp"},
    KnownId{208, 208, "q8_0_r8 of ik_llama.cpp"},
    KnownId{210, 210, "q2_k_r4 of ik_llama.cpp"},
    KnownId{211, 211, "q3_k_r4 of ik_llama.cpp"},
    KnownId{212, 212, "q4_k_r4 of ik_llama.cpp"},
    KnownId{213, 213, "q5_k_r4 of ik_llama.cpp"},
    KnownId{214, 214, "q6_k_r4 of ik_llama.cpp"},
    KnownId{216, 216, "iq2_xxs_r4 of ik_llama.cpp"},
    KnownId{217, 217, "iq2_xs_r4 of ik_llama.cpp"},
    KnownId{218, 218, "iq3_xxs_r4 of ik_llama.cpp"},
    KnownId{219, 219, "iq1_s_r4 of ik_llama.cpp"},
    KnownId{220, 220, "iq4_nl_r4 of ik_llama.cpp"},
    KnownId{221, 221, "iq3_s_r4 of ik_llama.cpp"},
    KnownId{222, 222, "iq2_s_r4 of ik_llama.cpp"},
    KnownId{223, 223, "iq4_xs_r8 of ik_llama.cpp"},
    KnownId{229, 229, "iq1_m_r4 of ik_llama.cpp"},
    KnownId{230, 230, "bf16_r16 of ik_llama.cpp"},
    KnownId{233, 233, "q6_0_r4 of ik_llama.cpp"},
    KnownId{335, 335, "iq2_bn_r4 of ik_llama.cpp"},
    KnownId{337, 337, "iq2_k_r4 of ik_llama.cpp"},
    KnownId{338, 338, "iq3_k_r4 of ik_llama.cpp"},
    KnownId{339, 339, "iq4_k_r4 of ik_llama.cpp"},
    KnownId{340, 340, "iq5_k_r4 of ik_llama.cpp"},
    KnownId{344, 344, "iq4_ks_r4 of ik_llama.cpp"},
    KnownId{352, 352, "iq5_ks_r4 of ik_llama.cpp"},
    KnownId{353, 353, "mxfp4_r8 of ik_llama.cpp"},
    KnownId{397, 397, "q8_k_r16 of ik_llama.cpp"},
    KnownId{398, 398, "q8_kv_r8 of ik_llama.cpp"},
    KnownId{399, 399, "q8_k_r8 of ik_llama.cpp"},
    KnownId{97, 399, "not of llama.cpp; ik_llama.cpp numbers its own types here"},
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
