#include "formats/code_moves.h"

#include <array>
#include <bit>
#include <cstring>

#include "core/check.h"
#include "core/half.h"
#include "formats/blocks/mxfp4.h"
#include "formats/blocks/nvfp4.h"
#include "formats/blocks/q4_0.h"
#include "formats/blocks/q4_1.h"
#include "formats/blocks/q5_0.h"
#include "formats/blocks/q5_1.h"
#include "formats/blocks/q8_0.h"
#include "formats/fifth_bits.h"

namespace quantlane {
namespace {

constexpr int kBlockValues = 32;

// A block's worth of one row: value = (code - zero) * scale.
struct Codes {
  const std::int8_t* codes;  // [32]
  float scale;
  int zero;
  bool symmetric;

  // Code `i` counted from the lowest one of so many bits.
  [[nodiscard]] unsigned char from_lowest(int i, int bits) const {
    const int code = symmetric ? codes[i] + (1 << (bits - 1))
                               : static_cast<int>(static_cast<unsigned char>(codes[i]));
    return static_cast<unsigned char>(code);
  }
  // What the lowest code of so many bits stands for.
  [[nodiscard]] float lowest(int bits) const {
    return scale * static_cast<float>(symmetric ? -(1 << (bits - 1)) : -zero);
  }
};

void pack_nibbles(const Codes& source, std::uint8_t (&qs)[16]) {
  for (int j = 0; j < 16; ++j) {
    qs[j] =
        static_cast<std::uint8_t>(source.from_lowest(j, 4) | source.from_lowest(j + 16, 4) << 4);
  }
}

void pack_fives(const Codes& source, std::uint8_t (&qh)[4], std::uint8_t (&qs)[16]) {
  unsigned char codes[kBlockValues];
  for (int i = 0; i < kBlockValues; ++i) codes[i] = source.from_lowest(i, 5);
  pack_five_bits(codes, qh, qs);
}

template <class Block>
void store(const Block& block, std::byte* target) {
  std::memcpy(target, &block, sizeof block);
}

void to_q4_0(const Codes& source, std::byte* target) {
  BlockQ4_0 block{.d = f32_to_f16(source.scale), .qs = {}};
  pack_nibbles(source, block.qs);
  store(block, target);
}

void to_q4_1(const Codes& source, std::byte* target) {
  BlockQ4_1 block{.d = f32_to_f16(source.scale), .m = f32_to_f16(source.lowest(4)), .qs = {}};
  pack_nibbles(source, block.qs);
  store(block, target);
}

void to_q5_0(const Codes& source, std::byte* target) {
  BlockQ5_0 block{.d = f32_to_f16(source.scale), .qh = {}, .qs = {}};
  pack_fives(source, block.qh, block.qs);
  store(block, target);
}

void to_q5_1(const Codes& source, std::byte* target) {
  BlockQ5_1 block{
      .d = f32_to_f16(source.scale), .m = f32_to_f16(source.lowest(5)), .qh = {}, .qs = {}};
  pack_fives(source, block.qh, block.qs);
  store(block, target);
}

void to_q8_0(const Codes& source, std::byte* target) {
  BlockQ8_0 block{.d = f32_to_f16(source.scale), .qs = {}};
  std::memcpy(block.qs, source.codes, sizeof block.qs);
  store(block, target);
}

std::int64_t group_of(const QuantTensor& tensor, std::int64_t column) {
  if (!tensor.group_of_column.empty()) {
    return tensor.group_of_column[static_cast<std::size_t>(column)];
  }
  return tensor.scheme.granularity == Granularity::kGroup ? column / tensor.scheme.group_size : 0;
}

// A row of integers, packed block by block.
template <void (*kPack)(const Codes& source, std::byte* block), class Block>
void move_integers(const QuantTensor& tensor, std::int64_t row, std::byte* blocks) {
  const Scheme& scheme = tensor.scheme;
  const std::int64_t first_scale =
      scheme.granularity == Granularity::kTensor ? 0 : row * scheme.groups_per_row(tensor.cols);
  for (std::int64_t c = 0; c < tensor.cols; c += kBlockValues) {
    const auto scale = static_cast<std::size_t>(first_scale + group_of(tensor, c));
    kPack({.codes = tensor.codes.data() + row * tensor.cols + c,
           .scale = tensor.scales[scale],
           .zero = scheme.symmetric
                       ? 0
                       : static_cast<int>(static_cast<unsigned char>(tensor.zeros[scale])),
           .symmetric = scheme.symmetric},
          blocks);
    blocks += sizeof(Block);
  }
}

std::uint8_t two_nibbles(std::int8_t low, std::int8_t high) {
  return static_cast<std::uint8_t>((low & 15) | (high & 15) << 4);
}

void move_mxfp4(const QuantTensor& tensor, std::int64_t row, std::byte* blocks) {
  const std::int8_t* codes = tensor.codes.data() + row * tensor.cols;
  const std::int64_t groups = tensor.scheme.groups_per_row(tensor.cols);
  for (std::int64_t g = 0; g < groups; ++g) {
    const float scale = tensor.scales[static_cast<std::size_t>(row * groups + g)];
    BlockMxfp4 block{};
    block.e = static_cast<std::uint8_t>(std::bit_cast<std::uint32_t>(scale) >> 23);
    for (int j = 0; j < 16; ++j)
      block.qs[j] = two_nibbles(codes[g * 32 + j], codes[g * 32 + j + 16]);
    store(block, blocks + g * std::int64_t{sizeof block});
  }
}

void move_nvfp4(const QuantTensor& tensor, std::int64_t row, std::byte* blocks) {
  const std::int8_t* codes = tensor.codes.data() + row * tensor.cols;
  const std::int64_t groups = tensor.scheme.groups_per_row(tensor.cols);
  for (std::int64_t g = 0; g < groups; g += 4) {
    BlockNvfp4 block{};
    for (int part = 0; part < 4; ++part) {
      const std::int8_t* from = codes + (g + part) * 16;
      block.d[part] = f32_to_e4m3(tensor.scales[static_cast<std::size_t>(row * groups + g + part)]);
      for (int l = 0; l < 8; ++l) block.qs[8 * part + l] = two_nibbles(from[l], from[l + 8]);
    }
    store(block, blocks + g / 4 * std::int64_t{sizeof block});
  }
}

template <int kBits, bool kAsymmetric>
bool holds_integers(const Scheme& scheme, std::int64_t cols) {
  const bool groups_fit =
      scheme.granularity == Granularity::kTensor || scheme.granularity == Granularity::kChannel ||
      (scheme.granularity == Granularity::kGroup && scheme.group_size % kBlockValues == 0);
  return scheme.type == ValueType::kInt && scheme.bits <= kBits &&
         (scheme.symmetric || kAsymmetric) && groups_fit && cols % kBlockValues == 0;
}

bool is_fp4(const Scheme& scheme, std::int64_t group, DType scales) {
  return scheme.type == ValueType::kFloat && scheme.bits == 4 &&
         scheme.granularity == Granularity::kGroup && scheme.group_size == group &&
         scheme.scale_dtype == scales;
}

bool holds_mxfp4(const Scheme& scheme, std::int64_t cols) {
  return is_fp4(scheme, 32, DType::kF8E8M0) && scheme.tensor_scale == TensorScale::kNone &&
         cols % 32 == 0;
}
bool holds_nvfp4(const Scheme& scheme, std::int64_t cols) {
  return is_fp4(scheme, 16, DType::kF8E4M3) && cols % 64 == 0;
}

// From few bits to many.
struct Move {
  const BlockFormat* target;
  bool (*holds)(const Scheme& scheme, std::int64_t cols);
  void (*pack)(const QuantTensor& tensor, std::int64_t row, std::byte* blocks);
};
constexpr std::array<Move, 7> kMoves = {
    {{&kQ4_0, holds_integers<4, false>, move_integers<to_q4_0, BlockQ4_0>},
     {&kQ4_1, holds_integers<4, true>, move_integers<to_q4_1, BlockQ4_1>},
     {&kQ5_0, holds_integers<5, false>, move_integers<to_q5_0, BlockQ5_0>},
     {&kQ5_1, holds_integers<5, true>, move_integers<to_q5_1, BlockQ5_1>},
     {&kQ8_0, holds_integers<8, false>, move_integers<to_q8_0, BlockQ8_0>},
     {&kMxfp4, holds_mxfp4, move_mxfp4},
     {&kNvfp4, holds_nvfp4, move_nvfp4}}};

const Move* move_to(const BlockFormat& target) {
  for (const Move& move : kMoves) {
    if (move.target == &target) return &move;
  }
  return nullptr;
}

}  // namespace

bool can_move_codes(const Scheme& scheme, std::int64_t cols, const BlockFormat& target) {
  const Move* move = move_to(target);
  return move != nullptr && move->holds(scheme, cols);
}

const BlockFormat* block_for_codes(const Scheme& scheme, std::int64_t cols) {
  for (const Move& move : kMoves) {
    if (move.holds(scheme, cols)) return move.target;
  }
  return nullptr;
}

bool groups_fit_blocks(const QuantTensor& tensor, const BlockFormat& target) {
  if (tensor.group_of_column.empty()) return true;
  for (std::int64_t c = 0; c < tensor.cols; ++c) {
    if (group_of(tensor, c) != group_of(tensor, c - c % target.block_values)) return false;
  }
  return true;
}

void move_codes(const QuantTensor& tensor, std::int64_t row, const BlockFormat& target,
                std::byte* blocks) {
  const Move* move = move_to(target);
  QUANTLANE_CHECK(move != nullptr && move->holds(tensor.scheme, tensor.cols));
  move->pack(tensor, row, blocks);
}

}  // namespace quantlane
