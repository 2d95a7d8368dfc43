// What the control groups of this process leave it of memory, of version 2 and of version 1.
#pragma once
#include <cstdint>
#include <filesystem>

namespace quantlane {

// The least, over the groups that /proc/self/cgroup names and all above them, of the limit less
// what is in use and is no file cache, bytes; 2^64 - 1 where none has a limit. In a container the
// groups that are named may not be there: those that its mount shows count. `root`: another place
// for "/". Sources: Linux Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.
std::uint64_t cgroup_available(const std::filesystem::path& root = "/");

}  // namespace quantlane
