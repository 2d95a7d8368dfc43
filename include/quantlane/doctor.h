// What this machine is and what quantlane will use of it.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace quantlane {

struct DoctorResult {
  std::string version;
  std::string cpu;
  int cores = 0;
  std::uint64_t memory_bytes = 0;
  std::uint64_t available_bytes = 0;
  std::string isa;                                     // in force
  std::vector<std::pair<std::string, bool>> features;  // "avx2" -> present
  double bandwidth_gb_s = 0;                           // measured reading, all cores
  double f32_gflops = 0;                               // measured matrix product, all cores
  std::vector<std::string> architectures;              // supported model families
  std::vector<std::string> lanes;
  std::vector<std::string> problems;
};

// Takes about a second (measures).
DoctorResult examine_machine(int threads);
std::string to_json(const DoctorResult& result);
// Empty, or why QUANTLANE_ISA cannot be honoured.
std::string environment_error();

}  // namespace quantlane
