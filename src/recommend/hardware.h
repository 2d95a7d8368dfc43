// The hardware database: data/hardware/devices.json (dense peaks, never 2:4-sparse ones) and the
// machine this runs on.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/cpu.h"
#include "quantlane/result.h"
#include "recommend/lane_facts.h"

namespace quantlane {

enum class DeviceKind : std::uint8_t { kGpu, kUnified, kCpu };

// What the kernels of a device do with a compute path.
enum class Support : std::uint8_t {
  kNative,
  kMemoryOnly,  // runs as 16-bit arithmetic on dequantized weights: saves memory, not compute
  kNone,
};

struct Device {
  std::string name;  // "h100-sxm"
  std::vector<std::string> aliases;
  std::string vendor;  // "nvidia", "amd", "apple", "intel"
  DeviceKind kind = DeviceKind::kGpu;
  std::string arch;    // "hopper", "gfx942", "zen5"
  int capability = 0;  // CUDA compute capability x 10; 0 = not CUDA
  double memory_bytes = 0;
  double bandwidth = 0;  // bytes per second
  // Operations per second, dense; none where there is no native path.
  struct Peaks {
    std::optional<double> bf16, fp8, int8, int4, fp4;
  } peaks;
  std::vector<ComputePath> native;
  std::vector<ComputePath> memory_only;
  std::string notes;
  std::string source;
  std::string date;        // of the source, "2026-09"
  std::string confidence;  // "high", "medium", "low", "measured"

  [[nodiscard]] Support support(ComputePath path) const;
  // Peak of the arithmetic that the path really uses here (16-bit for weight-only, GGUF and
  // memory-only paths); 0 when the device has no kernel for it.
  [[nodiscard]] double peak(ComputePath path) const;
  [[nodiscard]] bool has_fp8() const { return peaks.fp8.has_value(); }
};

// All devices of the database, in its order.
Result<std::vector<Device>> devices();
// By name or alias; case, blanks, punctuation and the words "nvidia", "amd", "geforce", "apple" and
// "intel" do not matter ("NVIDIA H100 80GB HBM3" is "h100-sxm"). kNotFound lists the names.
Result<Device> find_device(std::string_view name);

// Figures that the caller measured on this machine, all threads.
struct MeasuredPeaks {
  double bandwidth = 0;  // bytes per second, reading
  double flops = 0;      // per second, the 16-bit or float path that inference uses here
  double int8_ops = 0;   // per second; 0 = no INT8 path
};
inline constexpr std::string_view kThisMachine = "this-machine";
// Device kThisMachine from the processor's facts and those figures. FP8 is memory-only here.
Device this_machine(const CpuInfo& cpu, const MeasuredPeaks& measured);

}  // namespace quantlane
