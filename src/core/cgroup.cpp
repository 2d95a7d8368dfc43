#include "core/cgroup.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>

namespace quantlane {
namespace {

namespace fs = std::filesystem;

constexpr auto kNone = std::numeric_limits<std::uint64_t>::max();

// How a version spells a group.
struct Version {
  std::string_view mount;       // below the root
  std::string_view controller;  // in its line of /proc/self/cgroup; version 2 names none
  std::string_view limit;
  std::string_view used;
  std::array<std::string_view, 2> cache;  // keys of memory.stat, groups below included
};
constexpr std::array kVersions = {
    Version{.mount = "sys/fs/cgroup",
            .controller = "",
            .limit = "memory.max",
            .used = "memory.current",
            .cache = {"inactive_file", "active_file"}},
    Version{.mount = "sys/fs/cgroup/memory",
            .controller = "memory",
            .limit = "memory.limit_in_bytes",
            .used = "memory.usage_in_bytes",
            .cache = {"total_inactive_file", "total_active_file"}},
};

// `missing` where there is no file, or no number in it ("max").
std::uint64_t number_in(const fs::path& path, std::uint64_t missing) {
  std::uint64_t value = 0;
  return std::ifstream(path) >> value ? value : missing;
}

std::uint64_t available_in(const fs::path& group, const Version& version) {
  std::uint64_t limit = number_in(group / version.limit, kNone);
  std::uint64_t used = number_in(group / version.used, 0);
  std::ifstream file(group / "memory.stat");
  std::string key;
  for (std::uint64_t value = 0; file >> key >> value;) {
    // Of version 1: the least limit of the groups above, those out of sight included.
    if (key == "hierarchical_memory_limit") limit = std::min(limit, value);
    if (std::ranges::find(version.cache, key) != version.cache.end()) used -= std::min(used, value);
  }
  return limit == kNone ? kNone : limit - std::min(limit, used);
}

bool lists(std::string_view controllers, std::string_view wanted) {
  for (std::size_t begin = 0; begin <= controllers.size();) {
    const std::size_t end = std::min(controllers.find(',', begin), controllers.size());
    if (controllers.substr(begin, end - begin) == wanted) return true;
    begin = end + 1;
  }
  return false;
}

// The group of this process, "" where there is none: lines are "number:controllers:/group".
fs::path own_group(const fs::path& root, const Version& version) {
  std::ifstream file(root / "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string_view controllers =
        std::string_view(line).substr(first + 1, second - first - 1);
    if (lists(controllers, version.controller)) {
      return fs::path(line.substr(second + 1)).relative_path();
    }
  }
  return {};
}

}  // namespace

std::uint64_t cgroup_available(const fs::path& root) {
  std::uint64_t least = kNone;
  for (const Version& version : kVersions) {
    const fs::path mount = root / version.mount;
    fs::path group = mount;
    least = std::min(least, available_in(group, version));
    for (const fs::path& name : own_group(root, version)) {
      group /= name;
      least = std::min(least, available_in(group, version));
    }
  }
  return least;
}

}  // namespace quantlane
