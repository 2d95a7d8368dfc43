// Memory that kernels reuse between calls.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>

#include <sys/mman.h>

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
      const std::size_t size = static_cast<std::size_t>(count) * sizeof(T);
      const std::size_t align = size >= kHugePage ? kHugePage : kCacheLine;
      const std::size_t bytes = (size + align - 1) / align * align;
      data_.reset(static_cast<T*>(std::aligned_alloc(align, bytes)));
      QUANTLANE_CHECK(data_ != nullptr);
      // Panels are read across many pages at once; a refusal costs speed only.
      if (align == kHugePage) madvise(data_.get(), bytes, MADV_HUGEPAGE);
      count_ = count;
    }
    return data_.get();
  }

 private:
  static constexpr std::size_t kCacheLine = 64;
  static constexpr std::size_t kHugePage = std::size_t{2} << 20;
  struct Free {
    void operator()(T* data) const { std::free(data); }
  };
  std::unique_ptr<T, Free> data_;
  std::int64_t count_ = 0;
};

}  // namespace quantlane::kernels
