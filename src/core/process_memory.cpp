#include "core/process_memory.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string>

#include <malloc.h>

#include "core/cgroup.h"

namespace quantlane {
namespace {

// Value of a "Key:   123 kB" line of a /proc file, 0 when absent.
std::uint64_t proc_kib(const char* path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(key + ":"))
      return std::strtoull(line.c_str() + key.size() + 1, nullptr, 10);
  }
  return 0;
}

}  // namespace

std::uint64_t physical_memory_bytes() { return proc_kib("/proc/meminfo", "MemTotal") * 1024; }

std::uint64_t available_memory_bytes() {
  return std::min(proc_kib("/proc/meminfo", "MemAvailable") * 1024, cgroup_available());
}

std::uint64_t peak_rss_bytes() { return proc_kib("/proc/self/status", "VmHWM") * 1024; }

void reset_peak_rss() {
  malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << "5";
}

void return_freed_arrays() { mallopt(M_MMAP_THRESHOLD, 1 << 20); }

}  // namespace quantlane
