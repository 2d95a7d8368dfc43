#include "formats/search/grid_index.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "formats/blocks/grids.h"

namespace quantlane {
namespace {

// How the values of a point are numbered: `values` of them with levels 0 .. levels - 1.
struct Shape {
  int values;
  int levels;
  [[nodiscard]] int bits() const { return 16 / values; }
};
constexpr Shape kEightTernary{.values = 8, .levels = 3};
constexpr Shape kFourOfEight{.values = 4, .levels = 8};

// Owns the arrays that a GridIndex points to.
class GridTables {
 public:
  GridTables(std::span<const std::uint16_t> points, const Shape& shape)
      : points_(points), shape_(shape) {
    fill_entries();
    fill_buckets();
    fill_keys();
    fill_nearest();
    index_ = {
        .count = static_cast<int>(points_.size()),
        .points = points_.data(),
        .entries = {entries_[0].data(), entries_[1].data(), entries_[2].data(), entries_[3].data()},
        .nearest = nearest_.data(),
        .key_low = key_low_.data(),
        .key_high = key_high_.data(),
        .bucket_count = static_cast<int>(bucket_first_.size()) - 1,
        .bucket_first = bucket_first_.data(),
        .order = order_.data()};
  }
  GridTables(const GridTables&) = delete;
  GridTables& operator=(const GridTables&) = delete;

  [[nodiscard]] const GridIndex& index() const { return index_; }

 private:
  void fill_entries() {
    for (std::size_t t = 0; t < entries_.size(); ++t) {
      for (const std::uint16_t point : points_) {
        entries_[t].push_back(static_cast<std::uint8_t>(point >> (4 * t) & 15));
      }
    }
  }

  void fill_buckets() {
    order_.resize(points_.size());
    std::iota(order_.begin(), order_.end(), std::uint16_t{0});
    const auto bucket = [this](std::uint16_t index) { return points_[index] & 255; };
    std::ranges::stable_sort(order_, {}, bucket);
    for (std::size_t i = 0; i < order_.size(); ++i) {
      if (i > 0 && bucket(order_[i]) == bucket(order_[i - 1])) continue;
      bucket_first_.push_back(static_cast<std::uint16_t>(i));
    }
    bucket_first_.push_back(static_cast<std::uint16_t>(order_.size()));
  }

  // Numbers the combinations that have existing levels only.
  void fill_keys() {
    const int half = shape_.values / 2;
    std::size_t combinations = 1;
    for (int j = 0; j < half; ++j) combinations *= static_cast<std::size_t>(shape_.levels);
    for (unsigned byte = 0; byte < key_low_.size(); ++byte) {
      std::size_t rank = 0;
      bool exists = true;
      for (int j = half - 1; j >= 0; --j) {
        const int level = static_cast<int>(byte >> (j * shape_.bits())) & level_mask();
        exists = exists && level < shape_.levels;
        rank = rank * static_cast<std::size_t>(shape_.levels) + static_cast<std::size_t>(level);
      }
      if (!exists) continue;
      key_low_[byte] = static_cast<std::uint16_t>(rank);
      key_high_[byte] = static_cast<std::uint16_t>(rank * combinations);
    }
    nearest_.resize(combinations * combinations);
  }

  // Breadth first from all points at once, one level of one value per step.
  void fill_nearest() {
    std::vector<bool> reached(nearest_.size(), false);
    std::vector<std::pair<int, std::uint16_t>> queue;  // combination, point
    const auto reach = [&](int combination, std::uint16_t point) {
      const auto bits = static_cast<unsigned>(combination);
      const std::size_t key = std::size_t{key_low_[bits & 255]} + key_high_[bits >> 8];
      if (reached[key]) return;
      reached[key] = true;
      nearest_[key] = point;
      queue.emplace_back(combination, point);
    };
    for (std::size_t i = 0; i < points_.size(); ++i) {
      reach(points_[i], static_cast<std::uint16_t>(i));
    }
    for (std::size_t next = 0; next < queue.size(); ++next) {
      const auto [combination, point] = queue[next];
      for (int shift = 0; shift < 16; shift += shape_.bits()) {
        const int level = combination >> shift & level_mask();
        if (level > 0) reach(combination - (1 << shift), point);
        if (level + 1 < shape_.levels) reach(combination + (1 << shift), point);
      }
    }
  }

  [[nodiscard]] int level_mask() const { return (1 << shape_.bits()) - 1; }

  std::span<const std::uint16_t> points_;
  Shape shape_;
  std::array<std::vector<std::uint8_t>, kGridParts> entries_;
  std::vector<std::uint16_t> bucket_first_;
  std::vector<std::uint16_t> order_;
  std::array<std::uint16_t, 256> key_low_{};
  std::array<std::uint16_t, 256> key_high_{};
  std::vector<std::uint16_t> nearest_;
  GridIndex index_{};
};

}  // namespace

const GridIndex& grid_index_iq1() {
  static const GridTables tables(kGridIq1, kEightTernary);
  return tables.index();
}
const GridIndex& grid_index_iq2_xxs() {
  static const GridTables tables(kGridIq2Xxs, kEightTernary);
  return tables.index();
}
const GridIndex& grid_index_iq2_xs() {
  static const GridTables tables(kGridIq2Xs, kEightTernary);
  return tables.index();
}
const GridIndex& grid_index_iq2_s() {
  static const GridTables tables(kGridIq2S, kEightTernary);
  return tables.index();
}
const GridIndex& grid_index_iq3_xxs() {
  static const GridTables tables(kGridIq3Xxs, kFourOfEight);
  return tables.index();
}
const GridIndex& grid_index_iq3_s() {
  static const GridTables tables(kGridIq3S, kFourOfEight);
  return tables.index();
}

}  // namespace quantlane
