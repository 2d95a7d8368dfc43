#include "formats/code_moves.h"

#include <array>
#include <cstring>

#include "core/check.h"
#include "core/half.h"
#include "formats/fifth_bits.h"
#include "formats/q4_0.h"
#include "formats/q4_1.h"
#include "formats/q5_0.h"
#include "formats/q5_1.h"
#include "formats/q8_0.h"

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

// From few bits to many.
struct Move {
  const BlockFormat* target;
  int bits;         // widest codes
  bool asymmetric;  // holds zero points, too
  void (*pack)(const Codes& source, std::byte* block);
};
constexpr std::array<Move, 5> kMoves = {{{&kQ4_0, 4, false, to_q4_0},
                                         {&kQ4_1, 4, true, to_q4_1},
                                         {&kQ5_0, 5, false, to_q5_0},
                                         {&kQ5_1, 5, true, to_q5_1},
                                         {&kQ8_0, 8, false, to_q8_0}}};

bool holds(const Move& move, const Scheme& scheme, std::int64_t cols) {
  const bool groups_fit =
      scheme.granularity == Granularity::kTensor || scheme.granularity == Granularity::kChannel ||
      (scheme.granularity == Granularity::kGroup && scheme.group_size % kBlockValues == 0);
  return scheme.type == ValueType::kInt && scheme.bits <= move.bits &&
         (scheme.symmetric || move.asymmetric) && groups_fit && cols % kBlockValues == 0;
}

std::int64_t group_of(const QuantTensor& tensor, std::int64_t column) {
  if (!tensor.group_of_column.empty()) {
    return tensor.group_of_column[static_cast<std::size_t>(column)];
  }
  return tensor.scheme.granularity == Granularity::kGroup ? column / tensor.scheme.group_size : 0;
}

}  // namespace

bool can_move_codes(const Scheme& scheme, std::int64_t cols, const BlockFormat& target) {
  for (const Move& move : kMoves) {
    if (move.target == &target) return holds(move, scheme, cols);
  }
  return false;
}

const BlockFormat* block_for_codes(const Scheme& scheme, std::int64_t cols) {
  for (const Move& move : kMoves) {
    if (holds(move, scheme, cols)) return move.target;
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
  const Scheme& scheme = tensor.scheme;
  const Move* move = nullptr;
  for (const Move& candidate : kMoves) {
    if (candidate.target == &target) move = &candidate;
  }
  QUANTLANE_CHECK(move != nullptr && holds(*move, scheme, tensor.cols));
  const std::int64_t first_scale =
      scheme.granularity == Granularity::kTensor ? 0 : row * scheme.groups_per_row(tensor.cols);
  for (std::int64_t c = 0; c < tensor.cols; c += kBlockValues) {
    const auto scale = static_cast<std::size_t>(first_scale + group_of(tensor, c));
    const Codes source{
        .codes = tensor.codes.data() + row * tensor.cols + c,
        .scale = tensor.scales[scale],
        .zero = scheme.symmetric
                    ? 0
                    : static_cast<int>(static_cast<unsigned char>(tensor.zeros[scale])),
        .symmetric = scheme.symmetric};
    move->pack(source, blocks + c / kBlockValues * target.block_bytes);
  }
}

}  // namespace quantlane
