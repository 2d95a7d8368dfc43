// A fork-join pool. Results never depend on the number of workers: work is split into the same
// pieces whatever runs them.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>

namespace quantlane {

class ThreadPool {
 public:
  // `threads` workers including the caller; 0 = what the affinity mask and the cgroup quota allow.
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  [[nodiscard]] int size() const { return size_; }
  // Calls body(index, worker) once for each index in [0, count), in any order, worker in [0,
  // size()). Returns when all are done. `body` must not throw and must not call parallel_for on
  // this pool.
  void parallel_for(std::int64_t count, const std::function<void(std::int64_t, int)>& body);

 private:
  struct State;
  std::unique_ptr<State> state_;
  int size_ = 1;
};

// Cores that this process may use: affinity mask, limited by the cgroup CPU quota; at least 1.
int usable_cores();

}  // namespace quantlane
