#include "containers/tensor_stream.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "containers/tensor_size.h"
#include "core/check.h"

namespace quantlane {

Result<std::uint64_t> planned_size(const PlannedTensor& tensor) {
  auto size = stored_size(tensor.type, tensor.shape);
  if (size) return *size;
  return fail(
      invalid("planning the tensors of a file")
          .of(tensor.name)
          .expects(std::move(size).error())
          .got(fmt::format("shape {} of {}", shape_text(tensor.shape), tensor.type.name())));
}

TensorStream::TensorStream(AtomicFile file, std::string path, std::vector<TensorSlot> slots)
    : file_(std::move(file)), path_(std::move(path)), slots_(std::move(slots)) {}

Result<void> TensorStream::write(std::size_t index, std::span<const std::byte> bytes) {
  QUANTLANE_TRY_VOID(finish_full_slots());
  if (bytes.empty() && index < slots_.size()) return {};
  if (committed_ || index != current_ || index >= slots_.size()) {
    return fail(make_error(ErrorCode::kInternal, "writing tensor data")
                    .in(path_)
                    .expects(current_ < slots_.size() ? "data of tensor " + slots_[current_].name
                                                      : "no more data")
                    .got(fmt::format("{} bytes of tensor number {}", bytes.size(), index)));
  }
  const TensorSlot& slot = slots_[current_];
  if (bytes.size() > slot.size_bytes - written_) {
    return fail(make_error(ErrorCode::kInternal, "writing tensor data")
                    .in(path_)
                    .of(slot.name)
                    .at(slot.offset + written_)
                    .expects(fmt::format("{} bytes in all", slot.size_bytes))
                    .got(fmt::format("{} more after {}", bytes.size(), written_)));
  }
  QUANTLANE_TRY_VOID(file_.write_at(slot.offset + written_, bytes));
  written_ += bytes.size();
  return finish_full_slots();
}

// Steps over complete slots (empty ones included), writing what pads them.
Result<void> TensorStream::finish_full_slots() {
  static constexpr std::byte kZeros[4096] = {};
  while (current_ < slots_.size() && written_ == slots_[current_].size_bytes) {
    const TensorSlot& slot = slots_[current_];
    for (std::uint64_t done = 0; done < slot.padding;) {
      const std::uint64_t piece = std::min<std::uint64_t>(sizeof(kZeros), slot.padding - done);
      QUANTLANE_TRY_VOID(
          file_.write_at(slot.offset + slot.size_bytes + done, std::span(kZeros).first(piece)));
      done += piece;
    }
    ++current_;
    written_ = 0;
  }
  return {};
}

Result<void> TensorStream::finish() {
  QUANTLANE_TRY_VOID(finish_full_slots());
  if (current_ < slots_.size()) {
    const TensorSlot& slot = slots_[current_];
    return fail(make_error(ErrorCode::kInternal, "finishing a file of tensors")
                    .in(path_)
                    .of(slot.name)
                    .expects(fmt::format("{} bytes", slot.size_bytes))
                    .got(fmt::format("{} bytes", written_)));
  }
  return file_.finish();
}

Result<void> TensorStream::commit() {
  if (committed_) {
    return fail(make_error(ErrorCode::kInternal, "finishing a file of tensors")
                    .in(path_)
                    .expects("one commit")
                    .got("a second one"));
  }
  QUANTLANE_TRY_VOID(finish());
  committed_ = true;
  return file_.commit();
}

}  // namespace quantlane
