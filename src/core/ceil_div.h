// Whole pieces that cover a length.
#pragma once
#include <cstdint>

namespace quantlane {

// a >= 0, b > 0.
constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

}  // namespace quantlane
