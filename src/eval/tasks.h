// Exact-match tasks: the greedy continuation of a prompt must start with the answer.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/threads.h"
#include "quantlane/progress.h"
#include "quantlane/result.h"
#include "runtime/runtime.h"

namespace quantlane {

struct TaskItem {
  std::string prompt;
  std::string answer;
};

struct TaskSet {
  std::string name;  // file name without its extension
  std::vector<TaskItem> items;
};

// A JSONL file of {"prompt": …, "answer": …}, or a folder of them (sorted by name); at most `limit`
// items of each (0 = all). Errors give file and line.
Result<std::vector<TaskSet>> read_task_sets(const std::filesystem::path& path, std::int64_t limit);

// Items run together up to this number of tokens; a longer one runs alone.
inline constexpr std::int64_t kTaskTokensPerPass = 2048;

// For each item: 1 when the model answers it, else 0. Items that do not fit the context count as 0.
// The answer's own tokens are tried in one pass; only where the most likely token differs but still
// spells a beginning of the answer, greedy decoding goes on token by token.
Result<std::vector<std::uint8_t>> run_tasks(Runtime& runtime, const TaskSet& set, ThreadPool& pool,
                                            Progress& progress);

}  // namespace quantlane
