// BlockFormat::encode by the encoder of the instruction set in force.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "formats/block_encoders.h"

namespace quantlane {

template <EncodeBlocks BlockEncoders::* kEncoder>
void encode_with(std::span<const float> values, std::span<const float> importance,
                 std::byte* blocks) {
  (block_encoders().*kEncoder)(values.data(), importance.empty() ? nullptr : importance.data(),
                               static_cast<std::int64_t>(values.size()), blocks);
}

}  // namespace quantlane
