// Puts the slices that a dialect packs together into whole tensors.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "containers/dialects/dialect.h"

namespace quantlane {

// One planned tensor that is not streamed.
class PartCollector {
 public:
  explicit PartCollector(const PlannedPart& part);
  // The bytes of the next slice, in row order.
  void add(std::span<const std::byte> slice);
  // Complete after the last slice: as many bytes as planned.
  [[nodiscard]] std::span<const std::byte> bytes() const { return whole_; }
  [[nodiscard]] std::vector<std::byte> take() { return std::move(whole_); }

 private:
  SliceAxis axis_;
  std::size_t lines_ = 1;       // extent of the first dimension, for kColumns
  std::size_t line_bytes_ = 0;  // bytes of one line of the whole tensor
  std::size_t filled_ = 0;      // bytes of every line so far, for kColumns
  std::vector<std::byte> whole_;
};

}  // namespace quantlane
