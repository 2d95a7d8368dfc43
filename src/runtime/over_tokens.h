// Element-wise work over the tokens of a pass, split over the pool.
#pragma once
#include <algorithm>
#include <cstdint>

#include "core/threads.h"

namespace quantlane {

// Tokens that a worker gets at a time; the pieces do not depend on the number of workers.
inline constexpr std::int64_t kTokensPerTask = 16;

// body(first, count) over all tokens.
template <class Body>
void over_tokens(std::int64_t tokens, ThreadPool& pool, const Body& body) {
  const std::int64_t tasks = (tokens + kTokensPerTask - 1) / kTokensPerTask;
  if (tasks == 1) return body(std::int64_t{0}, tokens);
  pool.parallel_for(tasks, [&](std::int64_t task, int) {
    const std::int64_t first = task * kTokensPerTask;
    body(first, std::min(kTokensPerTask, tokens - first));
  });
}

}  // namespace quantlane
