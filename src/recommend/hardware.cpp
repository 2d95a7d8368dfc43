#include "recommend/hardware.h"

#include <algorithm>
#include <array>
#include <cctype>

#include <fmt/format.h>

#include "core/check.h"
#include "recommend/embedded_data.h"

namespace quantlane {
namespace {

constexpr std::string_view kFile = "data/hardware/devices.json";
constexpr double kGiga = 1e9;
constexpr double kTera = 1e12;

Error malformed(const std::string& device, std::string_view field) {
  return make_error(ErrorCode::kInternal, "reading the hardware database")
      .in(std::string(kFile))
      .of(device)
      .expects(fmt::format("a valid \"{}\"", field));
}

Result<ComputePath> path_by_name(std::string_view name, const std::string& device) {
  constexpr std::array kPaths = {ComputePath::kBf16, ComputePath::kFp8,        ComputePath::kInt8,
                                 ComputePath::kFp4,  ComputePath::kWeightOnly, ComputePath::kGguf};
  for (const ComputePath path : kPaths) {
    if (path_name(path) == name) return path;
  }
  return fail(malformed(device, "native"));
}

Result<std::vector<ComputePath>> read_paths(const Json& json, const std::string& device) {
  std::vector<ComputePath> paths;
  for (const Json& name : json.items()) {
    QUANTLANE_TRY(const ComputePath path, path_by_name(name.string(), device));
    paths.push_back(path);
  }
  return paths;
}

std::optional<double> read_peak(const Json& json) {
  if (!json.is_number()) return std::nullopt;
  return json.number() * kTera;
}

Result<DeviceKind> read_kind(std::string_view name, const std::string& device) {
  if (name == "gpu") return DeviceKind::kGpu;
  if (name == "unified") return DeviceKind::kUnified;
  if (name == "cpu") return DeviceKind::kCpu;
  return fail(malformed(device, "kind"));
}

// "8.9" -> 89.
int read_capability(std::string_view text) {
  int value = 0;
  for (const char c : text) {
    if (c != '.') value = value * 10 + (c - '0');
  }
  return value;
}

Result<Device> read_device(const Json& json) {
  Device device;
  device.name = json["name"].string();
  for (const Json& alias : json["aliases"].items()) device.aliases.emplace_back(alias.string());
  device.vendor = json["vendor"].string();
  QUANTLANE_TRY(device.kind, read_kind(json["kind"].string(), device.name));
  device.arch = json["arch"].string();
  device.capability = read_capability(json["compute_capability"].string());
  device.memory_bytes = json["memory_gb"].number() * kGiga;
  device.bandwidth = json["bandwidth_gb_s"].number() * kGiga;
  const Json& dense = json["dense"];
  device.peaks = {.bf16 = read_peak(dense["bf16"]),
                  .fp8 = read_peak(dense["fp8"]),
                  .int8 = read_peak(dense["int8"]),
                  .int4 = read_peak(dense["int4"]),
                  .fp4 = read_peak(dense["fp4"])};
  QUANTLANE_TRY(device.native, read_paths(json["native"], device.name));
  QUANTLANE_TRY(device.memory_only, read_paths(json["memory_only"], device.name));
  device.notes = json["notes"].string();
  device.source = json["source"].string();
  device.date = json["date"].string();
  device.confidence = json["confidence"].string();
  if (device.name.empty()) return fail(malformed(device.name, "name"));
  if (!(device.memory_bytes > 0)) return fail(malformed(device.name, "memory_gb"));
  if (!(device.bandwidth > 0)) return fail(malformed(device.name, "bandwidth_gb_s"));
  if (!device.peaks.bf16) return fail(malformed(device.name, "dense.bf16"));
  return device;
}

Result<std::vector<Device>> read_devices() {
  QUANTLANE_TRY(const Json json, embedded_recommend_json(kFile));
  std::vector<Device> all;
  for (const Json& row : json["devices"].items()) {
    QUANTLANE_TRY(Device device, read_device(row));
    all.push_back(std::move(device));
  }
  return all;
}

// Letters and digits of the name, lower case, without vendor words: those differ between drivers,
// engines and people, the rest is the product.
std::string normalized(std::string_view name) {
  std::string text;
  std::string word;
  const auto finish_word = [&] {
    constexpr std::array<std::string_view, 5> kVendorWords = {"nvidia", "amd", "geforce", "apple",
                                                              "intel"};
    if (std::find(kVendorWords.begin(), kVendorWords.end(), word) == kVendorWords.end()) {
      text += word;
    }
    word.clear();
  };
  for (const char c : name) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte)) {
      word += static_cast<char>(std::tolower(byte));
    } else {
      finish_word();
    }
  }
  finish_word();
  return text;
}

bool contains(const std::vector<ComputePath>& paths, ComputePath path) {
  return std::find(paths.begin(), paths.end(), path) != paths.end();
}

}  // namespace

Support Device::support(ComputePath path) const {
  if (contains(native, path)) return Support::kNative;
  return contains(memory_only, path) ? Support::kMemoryOnly : Support::kNone;
}

double Device::peak(ComputePath path) const {
  const Support how = support(path);
  if (how == Support::kNone) return 0;
  const double sixteen_bit = peaks.bf16.value_or(0);
  if (how == Support::kMemoryOnly) return sixteen_bit;
  switch (path) {
    case ComputePath::kFp8:
      return peaks.fp8.value_or(sixteen_bit);
    case ComputePath::kInt8:
      return peaks.int8.value_or(sixteen_bit);
    case ComputePath::kFp4:
      return peaks.fp4.value_or(sixteen_bit);
    case ComputePath::kBf16:
    case ComputePath::kWeightOnly:
    case ComputePath::kGguf:
      break;
  }
  return sixteen_bit;
}

Result<std::vector<Device>> devices() {
  static const Result<std::vector<Device>> all = read_devices();
  return all;
}

Result<Device> find_device(std::string_view name) {
  QUANTLANE_TRY(const std::vector<Device> all, devices());
  const std::string wanted = normalized(name);
  std::string names;
  std::string near;
  for (const Device& device : all) {
    if (normalized(device.name) == wanted) return device;
    for (const std::string& alias : device.aliases) {
      if (normalized(alias) == wanted) return device;
    }
    names += ", " + device.name;
    const std::string known = normalized(device.name);
    if (!wanted.empty() && (known.contains(wanted) || wanted.contains(known))) {
      near += (near.empty() ? "" : " or ") + device.name;
    }
  }
  return fail(usage_error("looking for a device in the hardware database")
                  .got(fmt::format("\"{}\"", name))
                  .expects(near.empty() ? std::string(kThisMachine) + names : near));
}

Device this_machine(const CpuInfo& cpu, const MeasuredPeaks& measured) {
  Device device;
  device.name = kThisMachine;
  device.vendor = "local";
  device.kind = DeviceKind::kCpu;
  device.arch = isa_name(cpu.best);
  device.memory_bytes = static_cast<double>(cpu.memory_bytes);
  device.bandwidth = measured.bandwidth;
  device.peaks.bf16 = measured.flops;
  device.native = {ComputePath::kBf16, ComputePath::kWeightOnly, ComputePath::kGguf};
  device.memory_only = {ComputePath::kFp8, ComputePath::kFp4};
  if (measured.int8_ops > 0) {
    device.peaks.int8 = measured.int8_ops;
    device.native.push_back(ComputePath::kInt8);
  } else {
    device.memory_only.push_back(ComputePath::kInt8);
  }
  device.notes = cpu.model;
  device.source = "measured on this machine";
  device.confidence = "measured";
  return device;
}

}  // namespace quantlane
