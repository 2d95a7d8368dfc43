#include "core/float_store.h"

#include <cerrno>
#include <numeric>
#include <utility>

#include <unistd.h>

#include "core/check.h"

namespace quantlane {
FloatStore::FloatStore(std::vector<std::size_t> sizes)
    : sizes_(std::move(sizes)), arrays_(sizes_.size()) {}

Result<FloatStore> FloatStore::on_disk(std::vector<std::size_t> sizes,
                                       std::shared_ptr<ScratchFile> file) {
  FloatStore store(std::move(sizes));
  store.arrays_.clear();
  store.file_ = std::move(file);
  std::uint64_t offset = 0;
  for (const std::size_t size : store.sizes_) {
    store.offsets_.push_back(offset);
    offset += size * sizeof(float);
  }
  QUANTLANE_TRY_VOID(store.file_->grow(offset));
  return store;
}

std::uint64_t FloatStore::bytes() const {
  return std::accumulate(sizes_.begin(), sizes_.end(), std::uint64_t{0}) * sizeof(float);
}

// All of the array on disk by `call`: pread or pwrite, which may do a part.
template <class Call, class Byte>
Result<void> FloatStore::transfer(Call call, Byte* at, std::size_t array) const {
  std::uint64_t offset = offsets_[array];
  for (std::size_t left = sizes_[array] * sizeof(float); left > 0;) {
    const ssize_t count = call(file_->descriptor(), at, left, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return fail(file_->error(bytes(), count == 0 ? EIO : errno));
    at += count;
    offset += static_cast<std::uint64_t>(count);
    left -= static_cast<std::size_t>(count);
  }
  return {};
}

Result<void> FloatStore::borrow(std::size_t array, std::vector<float>& buffer) {
  QUANTLANE_CHECK(sizes_[array] > 0);  // in memory it would work, on disk nothing would be kept
  if (in_memory()) {
    buffer.swap(arrays_[array]);
    QUANTLANE_CHECK(buffer.size() >= sizes_[array]);
    return {};
  }
  if (buffer.size() < sizes_[array]) buffer.resize(sizes_[array]);
  return transfer(::pread, reinterpret_cast<char*>(buffer.data()), array);
}

void FloatStore::give_back(std::size_t array, std::vector<float>& buffer) {
  if (in_memory()) buffer.swap(arrays_[array]);
}

Result<void> FloatStore::put(std::size_t array, std::vector<float>& buffer) {
  QUANTLANE_CHECK(sizes_[array] > 0);
  QUANTLANE_CHECK(buffer.size() >= sizes_[array]);
  if (in_memory()) {
    buffer.swap(arrays_[array]);
    return {};
  }
  return transfer(::pwrite, reinterpret_cast<const char*>(buffer.data()), array);
}

Result<void> FloatStore::copy(std::size_t from, std::size_t to) {
  QUANTLANE_CHECK(sizes_[from] == sizes_[to]);
  if (in_memory()) {
    arrays_[to] = arrays_[from];
    return {};
  }
  std::vector<float> buffer;
  QUANTLANE_TRY_VOID(borrow(from, buffer));
  return put(to, buffer);
}

}  // namespace quantlane
