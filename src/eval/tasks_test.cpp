#include "eval/tasks.h"

#include <algorithm>

#include "model/tokenizer/tokenizer.h"
#include "runtime/runtime_fixtures.h"

namespace quantlane {
namespace {

using fixtures::kCanary;

// Token by token, until the text has the length of the answer.
bool greedy_answers(Runtime& runtime, const Tokenizer& tokenizer, const TaskItem& item,
                    ThreadPool& pool) {
  std::vector<std::int32_t> input;
  if (tokenizer.spec().add_bos) input.push_back(static_cast<std::int32_t>(tokenizer.spec().bos_id));
  const auto prompt = tokenizer.encode(item.prompt, true);
  input.insert(input.end(), prompt.begin(), prompt.end());
  KvCache cache(runtime.config(), static_cast<std::int64_t>(input.size() + item.answer.size()) + 8);
  std::vector<std::int32_t> said;
  std::vector<float> logits;
  while (tokenizer.decode(said).size() < item.answer.size() &&
         said.size() < item.answer.size() + 1) {
    const Segment segment{.tokens = input,
                          .cache = &cache,
                          .logits_from = static_cast<std::int64_t>(input.size()) - 1};
    EXPECT_TRUE(runtime.forward(std::span(&segment, 1), pool, logits).has_value());
    said.push_back(
        static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin()));
    input = {said.back()};
    const std::string text = tokenizer.decode(said);
    if (text.substr(0, item.answer.size()) != item.answer.substr(0, text.size())) return false;
  }
  return tokenizer.decode(said).starts_with(item.answer);
}

TEST(Tasks, AnswersAreThoseOfGreedyDecoding) {
  const auto runtime = fixtures::load_model(kCanary);
  ASSERT_NE(runtime, nullptr);
  const auto tokenizer = *runtime->checkpoint().tokenizer();
  ThreadPool pool(1);
  const auto sets = read_task_sets(kCanary / "tasks", 30);
  ASSERT_TRUE(sets.has_value()) << sets.error().message();
  ASSERT_EQ(sets->size(), 4U);
  std::int64_t right = 0;
  for (const TaskSet& set : *sets) {
    ASSERT_EQ(set.items.size(), 30U) << set.name;
    const auto answers = run_tasks(*runtime, set, pool, no_progress());
    ASSERT_TRUE(answers.has_value()) << answers.error().message();
    ASSERT_EQ(answers->size(), 30U);
    for (std::size_t i = 0; i < 30; ++i) {
      EXPECT_EQ((*answers)[i] != 0, greedy_answers(*runtime, *tokenizer, set.items[i], pool))
          << set.name << " item " << i;
      right += (*answers)[i];
    }
  }
  EXPECT_GT(right, 50);   // brackets and record are nearly all right
  EXPECT_LT(right, 100);  // sorting and code are not
}

TEST(Tasks, ItemsBeyondTheContextCountAsWrong) {
  const auto runtime = fixtures::load_model(kCanary);
  ASSERT_NE(runtime, nullptr);
  ThreadPool pool(1);
  TaskSet set{.name = "long", .items = {}};
  std::string prompt;
  for (int i = 0; i < 3000; ++i) prompt += "word ";
  set.items.push_back({.prompt = prompt, .answer = " x"});
  const auto answers = run_tasks(*runtime, set, pool, no_progress());
  ASSERT_TRUE(answers.has_value()) << answers.error().message();
  EXPECT_EQ(*answers, std::vector<std::uint8_t>{0});
}

TEST(TaskSets, ReadsFilesAndFolders) {
  const fixtures::ScratchFolder scratch;
  const std::string line = R"({"prompt": "a", "answer": "b"})";
  ASSERT_TRUE(write_text(scratch.path() / "two.jsonl", line + "\r\n\n" + line).has_value());
  ASSERT_TRUE(write_text(scratch.path() / "one.jsonl", line + "\n").has_value());
  ASSERT_TRUE(write_text(scratch.path() / "notes.txt", "x").has_value());
  const auto sets = read_task_sets(scratch.path(), 0);
  ASSERT_TRUE(sets.has_value()) << sets.error().message();
  ASSERT_EQ(sets->size(), 2U);
  EXPECT_EQ((*sets)[0].name, "one");
  EXPECT_EQ((*sets)[1].items.size(), 2U);
  EXPECT_EQ(read_task_sets(scratch.path() / "two.jsonl", 1)->front().items.size(), 1U);
}

TEST(TaskSets, ErrorsNameFileAndLine) {
  const fixtures::ScratchFolder scratch;
  const fs::path path = scratch.path() / "bad.jsonl";
  const std::string good = R"({"prompt": "a", "answer": "b"})";
  for (const char* bad : {"{", R"({"prompt": "a"})", R"({"prompt": 1, "answer": "b"})",
                          R"({"prompt": "a", "answer": ""})", "[]", "\xFF"}) {
    ASSERT_TRUE(write_text(path, good + "\n\n" + bad + "\n" + good).has_value());
    const auto sets = read_task_sets(path, 0);
    ASSERT_FALSE(sets.has_value()) << bad;
    EXPECT_NE(sets.error().message().find("bad.jsonl"), std::string::npos);
    EXPECT_NE(sets.error().message().find("line 3"), std::string::npos) << sets.error().message();
  }
  ASSERT_TRUE(write_text(path, "\n").has_value());
  EXPECT_FALSE(read_task_sets(path, 0).has_value());
  EXPECT_FALSE(read_task_sets(scratch.path() / "absent.jsonl", 0).has_value());
  fs::remove(path);
  EXPECT_EQ(read_task_sets(scratch.path(), 0).error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace quantlane
