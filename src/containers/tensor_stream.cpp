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

std::uint64_t end_of(const std::vector<TensorSlot>& slots) {
  std::uint64_t end = 0;
  for (const TensorSlot& slot : slots) {
    end = std::max(end, slot.offset + slot.size_bytes + slot.padding);
  }
  return end;
}

TensorStream::TensorStream(AtomicFile file, std::string path, std::vector<TensorSlot> slots)
    : file_(std::move(file)),
      path_(std::move(path)),
      slots_(std::move(slots)),
      written_(slots_.size()) {}

Result<void> TensorStream::write(std::size_t index, std::span<const std::byte> bytes) {
  if (committed_ || index >= slots_.size()) {
    return fail(make_error(ErrorCode::kInternal, "writing tensor data")
                    .in(path_)
                    .expects("no more data")
                    .got(fmt::format("{} bytes of tensor number {}", bytes.size(), index)));
  }
  const TensorSlot& slot = slots_[index];
  std::uint64_t& written = written_[index];
  if (bytes.size() > slot.size_bytes - written) {
    return fail(make_error(ErrorCode::kInternal, "writing tensor data")
                    .in(path_)
                    .of(slot.name)
                    .at(slot.offset + written)
                    .expects(fmt::format("{} bytes in all", slot.size_bytes))
                    .got(fmt::format("{} more after {}", bytes.size(), written)));
  }
  QUANTLANE_TRY_VOID(file_.write_at(slot.offset + written, bytes));
  written += bytes.size();
  return written == slot.size_bytes ? pad(slot) : Result<void>();
}

Result<void> TensorStream::pad(const TensorSlot& slot) {
  static constexpr std::byte kZeros[4096] = {};
  for (std::uint64_t done = 0; done < slot.padding;) {
    const std::uint64_t piece = std::min<std::uint64_t>(sizeof(kZeros), slot.padding - done);
    QUANTLANE_TRY_VOID(
        file_.write_at(slot.offset + slot.size_bytes + done, std::span(kZeros).first(piece)));
    done += piece;
  }
  return {};
}

Result<void> TensorStream::finish() {
  for (std::size_t i = 0; i < slots_.size(); ++i) {
    const TensorSlot& slot = slots_[i];
    if (written_[i] < slot.size_bytes) {
      return fail(make_error(ErrorCode::kInternal, "finishing a file of tensors")
                      .in(path_)
                      .of(slot.name)
                      .expects(fmt::format("{} bytes", slot.size_bytes))
                      .got(fmt::format("{} bytes", written_[i])));
    }
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
