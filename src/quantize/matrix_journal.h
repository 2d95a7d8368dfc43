// Matrices of an artefact in the making that have their codes already: what a job of hours goes on
// from after its process was killed. A folder "<artefact>.resume" with one file for each matrix,
// removed when the artefact is complete. Files are not synced: after a power cut some may be torn,
// which then are not found.
#pragma once
#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/quant_tensor.h"
#include "quantlane/result.h"

namespace quantlane {

class MatrixJournal {
 public:
  // `key`: everything that the codes depend on. What an earlier job left under the same key is
  // found, under another it is removed. kInvalidArgument where the folder is something else.
  static Result<MatrixJournal> open(const std::filesystem::path& artefact, std::string key);
  // Matrices that an earlier job left.
  [[nodiscard]] std::size_t left() const { return left_; }

  // The bytes of a matrix; nullopt where they are not there or not whole.
  [[nodiscard]] std::optional<std::vector<std::byte>> find(std::string_view matrix) const;
  Result<void> put(std::string_view matrix, std::span<const std::byte> bytes);
  // The same for codes under `tensor.scheme`: find() fills a tensor whose sizes are set.
  [[nodiscard]] bool find(std::string_view matrix, QuantTensor& tensor) const;
  Result<void> put(std::string_view matrix, const QuantTensor& tensor);
  // Nothing is left to go on from.
  void remove();

 private:
  [[nodiscard]] std::filesystem::path file_of(std::string_view matrix) const;
  std::filesystem::path folder_;
  std::string key_;
  std::size_t left_ = 0;
};

}  // namespace quantlane
