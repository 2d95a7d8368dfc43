#include "formats/q5_1.h"

#include <cstring>

#include "core/half.h"
#include "formats/affine_search.h"
#include "formats/fifth_bits.h"

namespace quantlane {
namespace {

constexpr int kValues = 32;
constexpr float kHighCode = 31;

void decode(const std::byte* blocks, std::int64_t block_count, float* values) {
  for (std::int64_t b = 0; b < block_count; ++b) {
    BlockQ5_1 block;
    std::memcpy(&block, blocks + b * std::int64_t{sizeof block}, sizeof block);
    const float d = f16_to_f32(block.d);
    const float m = f16_to_f32(block.m);
    int codes[kValues];
    unpack_five_bits(block.qh, block.qs, codes);
    for (int i = 0; i < kValues; ++i) {
      values[b * kValues + i] = static_cast<float>(codes[i]) * d + m;
    }
  }
}

void encode(std::span<const float> values, std::span<const float> importance, std::byte* blocks) {
  for (std::size_t b = 0; b * kValues < values.size(); ++b) {
    const float* source = values.data() + b * kValues;
    const float* weight = importance.empty() ? nullptr : importance.data() + b * kValues;
    const StoredAffine stored = encode_affine_block(source, weight, kValues, kHighCode);
    BlockQ5_1 block{.d = stored.d, .m = stored.m, .qh = {}, .qs = {}};
    pack_five_bits(stored.codes, block.qh, block.qs);
    std::memcpy(blocks + b * sizeof block, &block, sizeof block);
  }
}

}  // namespace

const BlockFormat kQ5_1{.name = "q5_1",
                        .ggml_id = 7,
                        .block_values = kValues,
                        .block_bytes = sizeof(BlockQ5_1),
                        .decode = decode,
                        .encode = encode,
                        .error_bound = 0.036,
                        .fallback = ""};

}  // namespace quantlane
