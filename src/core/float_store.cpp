#include "core/float_store.h"

#include <cerrno>
#include <cstring>
#include <numeric>
#include <string>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "core/check.h"

namespace quantlane {
namespace {

Error spill_error(const std::filesystem::path& folder, std::uint64_t bytes, int code) {
  Error error = io_error("keeping hidden states on disk")
                    .in(folder.string())
                    .expects("room for " + std::to_string(bytes) + " bytes")
                    .got(std::strerror(code));
  error.hint =
      "free some space, choose an output on another disk, or allow more memory (--memory-limit)";
  return error;
}

// A file that has no name, or loses it at once where the file system knows no such files.
int open_unnamed(const std::filesystem::path& folder) {
  const int descriptor = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (descriptor >= 0) return descriptor;
  std::string name = (folder / ".quantlane-hidden-XXXXXX").string();
  const int named = ::mkostemp(name.data(), O_CLOEXEC);
  if (named >= 0) ::unlink(name.c_str());
  return named;
}

}  // namespace

FloatStore::FloatStore(std::vector<std::size_t> sizes)
    : sizes_(std::move(sizes)), arrays_(sizes_.size()) {}

Result<FloatStore> FloatStore::on_disk(std::vector<std::size_t> sizes,
                                       const std::filesystem::path& folder) {
  FloatStore store(std::move(sizes));
  store.arrays_.clear();
  store.folder_ = folder.empty() ? std::filesystem::path(".") : folder;
  std::uint64_t offset = 0;
  for (const std::size_t size : store.sizes_) {
    store.offsets_.push_back(offset);
    offset += size * sizeof(float);
  }
  store.descriptor_ = open_unnamed(store.folder_);
  if (store.descriptor_ < 0) return fail(spill_error(store.folder_, offset, errno));
  int code = 0;
  do {
    code = ::fallocate(store.descriptor_, 0, 0, static_cast<off_t>(offset)) == 0 ? 0 : errno;
  } while (code == EINTR);
  // Without the call, or without extents, a full disk shows when it is written to.
  if (code != 0 && code != EOPNOTSUPP && code != ENOSYS) {
    return fail(spill_error(store.folder_, offset, code));
  }
  return store;
}

FloatStore::FloatStore(FloatStore&& other) noexcept
    : sizes_(std::move(other.sizes_)),
      arrays_(std::move(other.arrays_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      offsets_(std::move(other.offsets_)),
      folder_(std::move(other.folder_)) {}

FloatStore& FloatStore::operator=(FloatStore&& other) noexcept {
  std::swap(sizes_, other.sizes_);
  std::swap(arrays_, other.arrays_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(offsets_, other.offsets_);
  std::swap(folder_, other.folder_);
  return *this;
}

FloatStore::~FloatStore() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::uint64_t FloatStore::bytes() const {
  return std::accumulate(sizes_.begin(), sizes_.end(), std::uint64_t{0}) * sizeof(float);
}

// All of the array on disk by `call`: pread or pwrite, which may do a part.
template <class Call, class Byte>
Result<void> FloatStore::transfer(Call call, Byte* at, std::size_t array) const {
  std::uint64_t offset = offsets_[array];
  for (std::size_t left = sizes_[array] * sizeof(float); left > 0;) {
    const ssize_t count = call(descriptor_, at, left, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return fail(spill_error(folder_, bytes(), count == 0 ? EIO : errno));
    at += count;
    offset += static_cast<std::uint64_t>(count);
    left -= static_cast<std::size_t>(count);
  }
  return {};
}

Result<void> FloatStore::borrow(std::size_t array, std::vector<float>& buffer) {
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
