// Which type each matrix gets so that a model fits a size and loses least: the choice among
// measured options. Losses add up, so the best choice for one price per byte is the best of each
// matrix.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace quantlane {

struct TypeOption {
  std::uint64_t bytes = 0;
  double loss = 0;  // what the model loses with this type here, nats per token
};

// The index of one option for each matrix: the sum of bytes is at most `budget`, and the sum of
// losses the least that a price per byte gives (the lower convex hull of each matrix's options,
// steps taken from the most gain per byte on; where one does not fit, later ones still may).
// Empty where even the smallest options exceed the budget. No matrix is without options.
std::optional<std::vector<std::size_t>> allocate(std::span<const std::vector<TypeOption>> matrices,
                                                 std::uint64_t budget);

}  // namespace quantlane
