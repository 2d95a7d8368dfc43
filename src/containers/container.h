// Tensors on disk: what every container gives (safetensors, GGUF), and how new files are written.
#pragma once
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "containers/metadata.h"
#include "core/replacing.h"
#include "formats/block_format.h"
#include "quantlane/result.h"
#include "tensor/dtype.h"

namespace quantlane {

// What the values of a stored tensor are: a plain type, or blocks when `block` is set.
struct ElementType {
  DType plain = DType::kF32;
  const BlockFormat* block = nullptr;
  [[nodiscard]] std::string_view name() const;
  // Bytes of `count` values along the innermost dimension (a multiple of the block length).
  [[nodiscard]] std::uint64_t bytes_of(std::int64_t count) const;
  bool operator==(const ElementType&) const = default;
};

struct TensorInfo {
  std::string name;
  ElementType type;
  std::vector<std::int64_t> shape;  // outermost first, row-major ([N, K] for a Linear); [] = scalar
  std::uint64_t offset = 0;         // absolute byte offset in its file
  std::uint64_t size_bytes = 0;
  std::uint32_t shard = 0;  // index into Container::files()

  [[nodiscard]] std::int64_t element_count() const;
  // The matrix view [rows, cols]: cols = innermost dimension, rows = the product of the others.
  [[nodiscard]] std::int64_t cols() const { return shape.empty() ? 1 : shape.back(); }
  [[nodiscard]] std::int64_t rows() const;
};

// An opened checkpoint file or set of shards, mapped read-only. All headers are verified on opening
// (bounds, overlap, alignment, shard set); tensor contents are not. Immutable, thread-safe.
class Container {
 public:
  virtual ~Container() = default;
  [[nodiscard]] virtual std::string_view kind() const = 0;                // "safetensors", "gguf"
  [[nodiscard]] virtual std::span<const TensorInfo> tensors() const = 0;  // file order
  [[nodiscard]] virtual const TensorInfo* find(std::string_view name) const = 0;
  // The stored bytes; live as long as the container.
  [[nodiscard]] virtual std::span<const std::byte> bytes(const TensorInfo& tensor) const = 0;
  [[nodiscard]] virtual const Metadata& metadata() const = 0;
  [[nodiscard]] virtual std::span<const std::string> files() const = 0;
  // The pages of this tensor are not needed soon.
  virtual void drop(const TensorInfo& tensor) const = 0;
  // The same for `size` bytes from `offset` of the tensor's own bytes.
  virtual void drop(const TensorInfo& tensor, std::uint64_t offset, std::uint64_t size) const = 0;
};

// Rows [begin, begin + count) of the matrix view as float32; the type must be a float or a block
// format (decoded by the scalar specification).
Result<void> decode_rows(const Container& container, const TensorInfo& tensor, std::int64_t begin,
                         std::int64_t count, float* values);

// `error` with the file, the name and the offset of `tensor`.
Error at_tensor(Error error, const Container& container, const TensorInfo& tensor);

// A container row: how to recognise and open one kind. `path` is a file or a folder.
struct ContainerKind {
  std::string_view name;
  bool (*recognises)(const std::filesystem::path& path);
  Result<std::unique_ptr<Container>> (*open)(const std::filesystem::path& path);
};
std::span<const ContainerKind* const> container_kinds();
// Sniffs and opens; the error lists what was looked for.
Result<std::unique_ptr<Container>> open_container(const std::filesystem::path& path);

// What will be written: the header needs names, types and shapes before the first byte of data.
struct PlannedTensor {
  std::string name;
  ElementType type;
  std::vector<std::int64_t> shape;
  [[nodiscard]] std::uint64_t size_bytes() const;
};

// Writes one file: header first (all tensors planned), then the data of the tensors in any order,
// that of each from front to back in pieces of any size. The file appears at commit() (atomic);
// destruction before removes it.
class ContainerWriter {
 public:
  virtual ~ContainerWriter() = default;
  // Appends data of tensor `index`; each exactly its planned size (kInternal else).
  virtual Result<void> write(std::size_t index, std::span<const std::byte> bytes) = 0;
  virtual Result<void> commit() = 0;
};
// `metadata`: string pairs written as __metadata__ ("format": "pt" is added). Plain types only.
// Data lies in plan order, or wider types first where plan order would misalign a tensor.
// kInvalidArgument for a plan that the format cannot hold. `may_replace`: as AtomicFile::create()
// has it.
Result<std::unique_ptr<ContainerWriter>> create_safetensors(const std::filesystem::path& path,
                                                            const std::vector<PlannedTensor>& plan,
                                                            const Metadata& metadata,
                                                            ReplaceCheck may_replace = {});
// GGUF version 3; alignment from general.alignment (default 32). kInvalidArgument for a plan that
// the format cannot hold (more than 4 dimensions, names above 63 bytes, types without a ggml id,
// …).
Result<std::unique_ptr<ContainerWriter>> create_gguf(const std::filesystem::path& path,
                                                     const std::vector<PlannedTensor>& plan,
                                                     const Metadata& metadata,
                                                     ReplaceCheck may_replace = {});

}  // namespace quantlane
