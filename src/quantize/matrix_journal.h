// Matrices of an artefact in the making that have their codes already: what a job of hours goes on
// from after its process was killed. A folder "<artefact>.resume" with one file for each matrix and
// one with the settings of the job, made with the first matrix and removed when the artefact is
// complete. Files are not synced: after a power cut some may be torn, which are made again.
#pragma once
#include <cstddef>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/descriptor.h"
#include "formats/quant_tensor.h"
#include "quantlane/result.h"

namespace quantlane {

// Everything that the codes of a job depend on: (what it is: "calibration text", its value), equal
// in both jobs where the one may go on from the other. The first is the lane, by its name.
using JobSettings = std::vector<std::pair<std::string, std::string>>;

class MatrixJournal {
 public:
  static std::filesystem::path folder_of(const std::filesystem::path& artefact);
  // Finds what earlier jobs left of `artefact`; creates nothing. kInvalidArgument where the folder
  // holds something else, or a running process is at work on the same job.
  static Result<MatrixJournal> open(const std::filesystem::path& artefact,
                                    const JobSettings& settings);

  // Whole matrices that an earlier job with the same settings left.
  [[nodiscard]] std::size_t left() const { return left_; }
  // A line each: what the job goes on from, how much of it is damaged, what jobs with other
  // settings left and why it is of no use.
  [[nodiscard]] std::vector<std::string> notices() const;

  // The bytes of a matrix; nullopt where they are not there or not whole.
  [[nodiscard]] std::optional<std::vector<std::byte>> find(std::string_view matrix) const;
  Result<void> put(std::string_view matrix, std::span<const std::byte> bytes);
  // The same for codes under `tensor.scheme`: find() fills a tensor whose sizes are set.
  [[nodiscard]] bool find(std::string_view matrix, QuantTensor& tensor) const;
  Result<void> put(std::string_view matrix, const QuantTensor& tensor);
  // This job leaves nothing to go on from; what others left stays.
  void remove();
  // Neither this job nor earlier ones, but for those at which a running process is at work.
  void remove_all();

 private:
  struct Other {
    std::string job;  // first part of the names of its files
    std::size_t matrices;
    std::string reason;  // why they are of no use: the setting that differs, "lane: fp8+gptq"
  };
  MatrixJournal() = default;
  [[nodiscard]] std::filesystem::path file_of(std::string_view matrix) const;
  [[nodiscard]] std::filesystem::path settings_of(std::string_view job) const;
  Result<void> start();
  void remove_job(std::string_view job);
  std::filesystem::path folder_;
  std::string settings_;  // as they are kept in the folder
  std::string job_;
  Descriptor lock_;  // on the settings' file, while this process is at work
  std::size_t left_ = 0;
  std::size_t damaged_ = 0;
  std::vector<Other> others_;
};

}  // namespace quantlane
