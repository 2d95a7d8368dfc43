#include "containers/dialects/part_collector.h"

#include <algorithm>

#include "core/check.h"

namespace quantlane {

PartCollector::PartCollector(const PlannedPart& part) : axis_(part.axis) {
  if (axis_ != SliceAxis::kColumns) return;
  QUANTLANE_CHECK(part.tensor.shape.size() == 2 && part.tensor.shape[0] > 0);
  lines_ = static_cast<std::size_t>(part.tensor.shape[0]);
  whole_.resize(part.tensor.size_bytes());
  line_bytes_ = whole_.size() / lines_;
}

void PartCollector::add(std::span<const std::byte> slice) {
  if (axis_ == SliceAxis::kColumns) {
    const std::size_t width = slice.size() / lines_;
    QUANTLANE_CHECK(width * lines_ == slice.size() && filled_ + width <= line_bytes_);
    for (std::size_t line = 0; line < lines_; ++line) {
      std::ranges::copy(slice.subspan(line * width, width),
                        whole_.begin() + static_cast<std::ptrdiff_t>(line * line_bytes_ + filled_));
    }
    filled_ += width;
  } else if (axis_ == SliceAxis::kRows || whole_.empty()) {
    whole_.insert(whole_.end(), slice.begin(), slice.end());
  }
}

}  // namespace quantlane
