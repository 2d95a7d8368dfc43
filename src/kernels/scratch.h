// Memory that kernels reuse between calls.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include "core/check.h"

namespace quantlane::kernels {

// A cache-line aligned array that only grows; its contents do not survive growth.
template <typename T>
class Scratch {
 public:
  // At least `count` elements, uninitialised. Valid until the next call. Aborts when memory is out.
  T* reserve(std::int64_t count) {
    if (count > count_) {
      data_.reset();
      const auto bytes = (static_cast<std::size_t>(count) * sizeof(T) + kAlign - 1) / kAlign;
      data_.reset(static_cast<T*>(std::aligned_alloc(kAlign, bytes * kAlign)));
      QUANTLANE_CHECK(data_ != nullptr);
      count_ = count;
    }
    return data_.get();
  }

 private:
  static constexpr std::size_t kAlign = 64;
  struct Free {
    void operator()(T* data) const { std::free(data); }
  };
  std::unique_ptr<T, Free> data_;
  std::int64_t count_ = 0;
};

}  // namespace quantlane::kernels
