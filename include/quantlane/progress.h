// How long jobs tell a caller where they are. The library never prints.
#pragma once
#include <cstdint>
#include <string_view>

namespace quantlane {

// Implementations must accept calls from one thread at a time; every call returns quickly.
class Progress {
 public:
  virtual ~Progress() = default;
  // A stage begins: `total` units of work (0 = unknown), `unit` for the rate ("tok", "B", "items").
  virtual void begin(std::string_view stage, std::uint64_t total, std::string_view unit) = 0;
  // `done` units of the current stage are finished (absolute, never decreasing).
  virtual void update(std::uint64_t done) = 0;
  virtual void end() = 0;
  // Something a user should know but that stops nothing ("group size 64 instead of 128 …").
  virtual void notice(std::string_view text) = 0;
};

// A Progress that ignores everything; lives for the whole program.
Progress& no_progress();

}  // namespace quantlane
