#include "core/threads.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <sched.h>

namespace quantlane {
namespace {

// cgroup v2 "cpu.max" holds "QUOTA PERIOD" or "max PERIOD".
double cgroup_cores() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return 1e9;
  return std::strtod(quota.c_str(), nullptr) / period;
}

// How long a worker polls before it sleeps. A sleeping wake-up costs tens of microseconds, a token
// of a small model a few hundred; more polling than this hurts when cores are oversubscribed.
constexpr int kSpinRounds = 2000;

}  // namespace

int usable_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  const int affinity = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
  const double quota = std::floor(cgroup_cores());
  return std::max(1, static_cast<int>(std::min<double>(affinity, quota)));
}

struct ThreadPool::State {
  std::mutex mutex;
  std::condition_variable wake;
  std::atomic<std::uint64_t> generation{0};
  std::atomic<std::int64_t> next{0};
  std::atomic<int> running{0};
  std::atomic<bool> stop{false};
  std::int64_t count = 0;
  const std::function<void(std::int64_t, int)>* body = nullptr;
  std::vector<std::jthread> threads;

  void drain(int worker) {
    for (std::int64_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) (*body)(i, worker);
  }

  void work(int worker) {
    std::uint64_t seen = 0;
    for (;;) {
      for (int spin = 0; spin < kSpinRounds && generation.load() == seen; ++spin) {
        __builtin_ia32_pause();
      }
      if (generation.load() == seen) {
        std::unique_lock lock(mutex);
        wake.wait(lock, [&] { return generation.load() != seen; });
      }
      seen = generation.load();
      if (stop.load()) return;
      drain(worker);
      running.fetch_sub(1);
    }
  }
};

ThreadPool::ThreadPool(int threads) : state_(std::make_unique<State>()) {
  size_ = threads > 0 ? threads : usable_cores();
  for (int worker = 1; worker < size_; ++worker) {
    state_->threads.emplace_back([this, worker] { state_->work(worker); });
  }
}

ThreadPool::~ThreadPool() {
  {
    const std::scoped_lock lock(state_->mutex);
    state_->stop = true;
    state_->generation.fetch_add(1);
  }
  state_->wake.notify_all();
}

void ThreadPool::parallel_for(std::int64_t count,
                              const std::function<void(std::int64_t, int)>& body) {
  if (count <= 0) return;
  if (size_ == 1 || count == 1) {
    for (std::int64_t i = 0; i < count; ++i) body(i, 0);
    return;
  }
  {
    const std::scoped_lock lock(state_->mutex);
    state_->body = &body;
    state_->count = count;
    state_->next = 0;
    state_->running = size_ - 1;
    state_->generation.fetch_add(1);
  }
  state_->wake.notify_all();
  state_->drain(0);
  for (int spin = 0; state_->running.load() != 0; ++spin) {
    if (spin < kSpinRounds) {
      __builtin_ia32_pause();
    } else {
      std::this_thread::yield();
    }
  }
}

}  // namespace quantlane
