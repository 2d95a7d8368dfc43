// Memory: what the machine has, and what this process takes of it.
#pragma once
#include <cstdint>

namespace quantlane {

// Bytes; available ones now, within the limits of control groups.
std::uint64_t physical_memory_bytes();
std::uint64_t available_memory_bytes();

// Peak resident set size of this process since its start or the last reset, bytes.
std::uint64_t peak_rss_bytes();
// Starts a new measurement of the peak (Linux: /proc/self/clear_refs); freed memory is returned to
// the system first. Without effect where the kernel does not allow it.
void reset_peak_rss();

// From now on arrays of 1 MiB and more go back to the system when they are freed. Otherwise the
// allocator comes to keep those of up to 32 MiB, and what it keeps between others counts.
void return_freed_arrays();

}  // namespace quantlane
