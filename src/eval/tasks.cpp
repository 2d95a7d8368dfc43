#include "eval/tasks.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "core/cancel.h"
#include "core/check.h"
#include "core/file.h"
#include "core/json.h"
#include "kernels/ops.h"
#include "model/tokenizer/tokenizer.h"

namespace quantlane {
namespace {

Result<TaskSet> read_task_set(const fs::path& path, std::int64_t limit) {
  QUANTLANE_TRY(const std::string text, read_text(path));
  TaskSet set{.name = path.stem().string(), .items = {}};
  std::size_t line_number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    const std::size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    begin = end + 1;
    ++line_number;
    if (line.find_first_not_of(" \r\t") == std::string_view::npos) continue;
    QUANTLANE_TRY(const Json item,
                  Json::parse(line, path.string() + " line " + std::to_string(line_number)));
    if (!item["prompt"].is_string() || !item["answer"].is_string() ||
        item["answer"].string().empty()) {
      return fail(corrupt("reading a task set")
                      .in(path.string())
                      .of("line " + std::to_string(line_number))
                      .expects(R"({"prompt": "…", "answer": "…"} with an answer that is not empty)")
                      .got(std::string(line.substr(0, 80))));
    }
    set.items.push_back({.prompt = std::string(item["prompt"].string()),
                         .answer = std::string(item["answer"].string())});
    if (limit > 0 && static_cast<std::int64_t>(set.items.size()) == limit) break;
  }
  if (set.items.empty()) {
    return fail(corrupt("reading a task set").in(path.string()).expects("at least one item"));
  }
  return set;
}

// One item during evaluation.
struct Attempt {
  std::vector<std::int32_t> prompt;
  std::vector<std::int32_t> answer;  // canonical tokens
};

// What the most likely tokens at the answer's positions say.
enum class Outcome : std::uint8_t { kRight, kWrong, kOtherSpelling };

// `text` and `answer` agree as far as the shorter one goes.
bool compatible(std::string_view text, std::string_view answer) {
  return text.starts_with(answer) || answer.starts_with(text);
}

class TaskRunner {
 public:
  TaskRunner(Runtime& runtime, const Tokenizer& tokenizer, const TaskSet& set, ThreadPool& pool)
      : runtime_(runtime),
        tokenizer_(tokenizer),
        set_(set),
        pool_(pool),
        vocab_(runtime.config().vocab_size) {
    const TokenizerSpec& spec = tokenizer.spec();
    for (const TaskItem& item : set.items) {
      Attempt attempt;
      if (spec.add_bos && spec.bos_id >= 0)
        attempt.prompt.push_back(static_cast<std::int32_t>(spec.bos_id));
      const auto prompt = tokenizer.encode(item.prompt, true);
      attempt.prompt.insert(attempt.prompt.end(), prompt.begin(), prompt.end());
      attempt.answer = answer_tokens(item);
      attempts_.push_back(std::move(attempt));
    }
  }

  Result<std::vector<std::uint8_t>> run(Progress& progress) {
    std::vector<std::uint8_t> right(attempts_.size());
    progress.begin("task " + set_.name, attempts_.size(), "items");
    for (std::size_t first = 0; first < attempts_.size();) {
      QUANTLANE_TRY_VOID(check_cancel("running tasks"));
      const std::size_t last = batch_end(first);
      QUANTLANE_TRY(const std::vector<Outcome> outcomes, teacher_forced(first, last));
      for (std::size_t i = first; i < last; ++i) {
        right[i] = outcomes[i - first] == Outcome::kRight ? 1 : 0;
        if (outcomes[i - first] != Outcome::kOtherSpelling) continue;
        QUANTLANE_TRY(const bool answered, decode_greedily(i));
        right[i] = answered ? 1 : 0;
      }
      first = last;
      progress.update(first);
    }
    progress.end();
    return right;
  }

 private:
  // Tokens that follow the prompt when prompt and answer are written as one text, where that keeps
  // the prompt's tokens; else the answer's own tokens.
  [[nodiscard]] std::vector<std::int32_t> answer_tokens(const TaskItem& item) const {
    const auto prompt = tokenizer_.encode(item.prompt, true);
    const auto whole = tokenizer_.encode(item.prompt + item.answer, true);
    if (whole.size() > prompt.size() && std::equal(prompt.begin(), prompt.end(), whole.begin())) {
      return {whole.begin() + static_cast<std::ptrdiff_t>(prompt.size()), whole.end()};
    }
    return tokenizer_.encode(item.answer, true);
  }

  [[nodiscard]] std::int64_t length(std::size_t i) const {
    return static_cast<std::int64_t>(attempts_[i].prompt.size() + attempts_[i].answer.size());
  }
  [[nodiscard]] bool fits(std::size_t i) const {
    const std::int64_t context = runtime_.config().context_length;
    return !attempts_[i].prompt.empty() && !attempts_[i].answer.empty() &&
           (context <= 0 || length(i) <= context);
  }
  [[nodiscard]] std::size_t batch_end(std::size_t first) const {
    std::int64_t tokens = 0;
    std::size_t last = first;
    while (last < attempts_.size() &&
           (last == first || tokens + length(last) <= kTaskTokensPerPass)) {
      tokens += length(last++);
    }
    return last;
  }

  Result<std::vector<Outcome>> teacher_forced(std::size_t first, std::size_t last) {
    std::vector<std::vector<std::int32_t>> inputs;
    std::vector<KvCache> caches;
    for (std::size_t i = first; i < last; ++i) {
      inputs.push_back(attempts_[i].prompt);
      const std::span answer(attempts_[i].answer);
      const auto fed = answer.first(answer.empty() ? 0 : answer.size() - 1);
      inputs.back().insert(inputs.back().end(), fed.begin(), fed.end());
      caches.emplace_back(runtime_.config(), static_cast<std::int64_t>(inputs.back().size()));
    }
    std::vector<Segment> segments;
    for (std::size_t i = first; i < last; ++i) {
      if (!fits(i)) continue;
      segments.push_back(
          {.tokens = inputs[i - first],
           .cache = &caches[i - first],
           .logits_from = static_cast<std::int64_t>(attempts_[i].prompt.size()) - 1});
    }
    std::vector<Outcome> outcomes(last - first, Outcome::kWrong);
    if (segments.empty()) return outcomes;
    QUANTLANE_TRY_VOID(runtime_.forward(segments, pool_, logits_));
    const float* row = logits_.data();
    for (std::size_t i = first; i < last; ++i) {
      if (!fits(i)) continue;
      outcomes[i - first] = judge(i, row);
      row += static_cast<std::int64_t>(attempts_[i].answer.size()) * vocab_;
    }
    return outcomes;
  }

  [[nodiscard]] Outcome judge(std::size_t i, const float* row) const {
    const std::vector<std::int32_t>& answer = attempts_[i].answer;
    for (std::size_t k = 0; k < answer.size(); ++k, row += vocab_) {
      const auto top = static_cast<std::int32_t>(kernels::arg_max(row, vocab_));
      if (top == answer[k]) continue;
      std::vector<std::int32_t> said(answer.begin(),
                                     answer.begin() + static_cast<std::ptrdiff_t>(k));
      said.push_back(top);
      return compatible(tokenizer_.decode(said), set_.items[i].answer) ? Outcome::kOtherSpelling
                                                                       : Outcome::kWrong;
    }
    return Outcome::kRight;
  }

  Result<bool> decode_greedily(std::size_t i) {
    const std::string& answer = set_.items[i].answer;
    // Every token adds at least one byte of text, or the model is saying nothing.
    const auto limit = static_cast<std::int64_t>(answer.size()) + 1;
    KvCache cache(runtime_.config(), static_cast<std::int64_t>(attempts_[i].prompt.size()) + limit);
    std::vector<std::int32_t> input = attempts_[i].prompt;
    std::vector<std::int32_t> said;
    for (std::int64_t step = 0; step < limit; ++step) {
      const Segment segment{.tokens = input,
                            .cache = &cache,
                            .logits_from = static_cast<std::int64_t>(input.size()) - 1};
      QUANTLANE_TRY_VOID(runtime_.forward(std::span(&segment, 1), pool_, logits_));
      said.push_back(static_cast<std::int32_t>(kernels::arg_max(logits_.data(), vocab_)));
      const std::string text = tokenizer_.decode(said);
      if (text.starts_with(answer)) return true;
      if (!compatible(text, answer)) return false;
      input = {said.back()};
    }
    return false;
  }

  Runtime& runtime_;
  const Tokenizer& tokenizer_;
  const TaskSet& set_;
  ThreadPool& pool_;
  std::int64_t vocab_;
  std::vector<Attempt> attempts_;
  std::vector<float> logits_;
};

}  // namespace

Result<std::vector<TaskSet>> read_task_sets(const std::filesystem::path& path, std::int64_t limit) {
  std::vector<fs::path> files;
  std::error_code code;
  if (fs::is_directory(path, code)) {
    for (const auto& entry : fs::directory_iterator(path, code)) {
      if (entry.path().extension() == ".jsonl") files.push_back(entry.path());
    }
    std::ranges::sort(files);
  } else {
    files.push_back(path);
  }
  if (files.empty()) {
    return fail(
        not_found("looking for task sets").in(path.string()).expects("at least one .jsonl file"));
  }
  std::vector<TaskSet> sets;
  for (const fs::path& file : files) {
    QUANTLANE_TRY(TaskSet set, read_task_set(file, limit));
    sets.push_back(std::move(set));
  }
  return sets;
}

Result<std::vector<std::uint8_t>> run_tasks(Runtime& runtime, const TaskSet& set, ThreadPool& pool,
                                            Progress& progress) {
  QUANTLANE_TRY(const auto tokenizer, runtime.checkpoint().tokenizer());
  TaskRunner runner(runtime, *tokenizer, set, pool);
  return runner.run(progress);
}

}  // namespace quantlane
