// Numbered arrays of floats that wait to be used again, in memory or on disk; the user cannot tell.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/disk_room.h"
#include "quantlane/result.h"

namespace quantlane {

// One array at a time is lent into a buffer of the caller's: borrow(), then give_back() or put().
// Not thread-safe.
class FloatStore {
 public:
  // Array i has sizes[i] floats; what they are before the first put() is not defined.
  explicit FloatStore(std::vector<std::size_t> sizes);
  // The same in a file, which no other store uses at the same time; it grows as far as it must: kIo
  // where the disk has too little.
  static Result<FloatStore> on_disk(std::vector<std::size_t> sizes,
                                    std::shared_ptr<ScratchFile> file);

  // `buffer` holds the array (and may be longer); what it held before is lost.
  Result<void> borrow(std::size_t array, std::vector<float>& buffer);
  // The buffer still holds what was borrowed. data() of the buffer stays where it is, and valid
  // until something else is done with the array or the buffer.
  void give_back(std::size_t array, std::vector<float>& buffer);
  // The first floats of `buffer` are the array from now on; what the buffer holds then is not
  // defined, and neither is its size. kIo where the disk is full.
  Result<void> put(std::size_t array, std::vector<float>& buffer);
  Result<void> copy(std::size_t from, std::size_t to);

  [[nodiscard]] std::uint64_t bytes() const;

 private:
  [[nodiscard]] bool in_memory() const { return file_ == nullptr; }
  template <class Call, class Byte>
  Result<void> transfer(Call call, Byte* at, std::size_t array) const;
  std::vector<std::size_t> sizes_;
  std::vector<std::vector<float>> arrays_;  // in memory
  std::vector<std::uint64_t> offsets_;      // on disk
  std::shared_ptr<ScratchFile> file_;
};

}  // namespace quantlane
