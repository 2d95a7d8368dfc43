// iq4_nl (ggml id 20): 32 values in 18 bytes = f16 d, 16 bytes of nibbles as in q4_0;
// value = d * T[nibble] with the table of fp4_and_nl_codes.h. docs/formats/ggml-other.md.
#pragma once
#include <cstdint>

namespace quantlane {

struct BlockFormat;

struct BlockIq4Nl {
  std::uint16_t d;  // binary16
  std::uint8_t qs[16];
};
static_assert(sizeof(BlockIq4Nl) == 18);

extern const BlockFormat kIq4Nl;

}  // namespace quantlane
