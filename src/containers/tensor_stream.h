// The data half of both writers: takes the bytes of tensors in any order, keeps the promised sizes.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "containers/container.h"
#include "core/atomic_file.h"

namespace quantlane {

// stored_size() as an error (kInvalidArgument, names the tensor).
Result<std::uint64_t> planned_size(const PlannedTensor& tensor);

// Where the data of one planned tensor goes.
struct TensorSlot {
  std::string name;
  std::uint64_t offset = 0;  // absolute in the file
  std::uint64_t size_bytes = 0;
  std::uint64_t padding = 0;  // zero bytes that follow it
};

// Bytes of the file: where the last slot ends.
std::uint64_t end_of(const std::vector<TensorSlot>& slots);

// Writes each slot at its offset; see ContainerWriter for the contract of write() and commit().
class TensorStream final : public ContainerWriter {
 public:
  // `file` already holds the header. Slots do not overlap and cover what follows the header.
  TensorStream(AtomicFile file, std::string path, std::vector<TensorSlot> slots);

  Result<void> write(std::size_t index, std::span<const std::byte> bytes) override;
  // All data is there and on disk, under the temporary name; commit() calls it.
  Result<void> finish();
  Result<void> commit() override;
  // place() and move_to() of its AtomicFile.
  Result<std::optional<Error>> place() { return file_.place(); }
  Result<void> move_to(const fs::path& other) { return file_.move_to(other); }
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  Result<void> pad(const TensorSlot& slot);

  AtomicFile file_;
  std::string path_;
  std::vector<TensorSlot> slots_;
  std::vector<std::uint64_t> written_;  // bytes of each slot so far
  bool committed_ = false;
};

}  // namespace quantlane
