// What holds for every row of every table of pre-flight rules.
#include <filesystem>
#include <set>

#include <gtest/gtest.h>

#include "core/file.h"
#include "recommend/preflight_test_facts.h"

namespace quantlane {
namespace {

using namespace test_facts;  // NOLINT(google-build-using-namespace): the shared test inputs

TEST(PreflightRules, EachHasAnIdOfItsOwn) {
  std::set<std::string_view> ids;
  for (const PreflightRule* rule : preflight_rules()) {
    EXPECT_TRUE(ids.insert(rule->id).second) << rule->id;
  }
}

// Which have one case for each row of the table (expect_each_rule_tested).
TEST(PreflightRules, EachTableHasATestBesideIt) {
  int tables = 0;
  for (const auto& entry :
       fs::directory_iterator(fs::path(QUANTLANE_SOURCE_DIR) / "src/recommend")) {
    const std::string stem = entry.path().stem().string();
    const bool is_table = entry.path().extension() == ".cpp" &&
                          stem.starts_with("preflight_rules_") && !stem.ends_with("_test");
    if (!is_table) continue;
    ++tables;
    EXPECT_TRUE(fs::exists(entry.path().parent_path() / (stem + "_test.cpp"))) << stem;
  }
  EXPECT_EQ(tables, 12);
}

// The row of docs/preflight.md that a rule has to have.
std::string row_of(const PreflightRule& rule) {
  std::string engines = rule.engines == "*" ? "all" : std::string(rule.engines);
  for (std::size_t at = engines.find(' '); at != std::string::npos; at = engines.find(' ', at + 2))
    engines.replace(at, 1, ", ");
  std::string_view answer = preflight_answer_name(rule.effect);
  if (rule.effect == PreflightEffect::kNote) answer = "note";
  if (rule.effect == PreflightEffect::kSlow) answer = "slower";
  if (rule.effect == PreflightEffect::kWrong) answer = "computes something else";
  std::string row = "| `" + std::string(rule.id) + "` | " + engines + " | ";
  row += std::string(answer) + " | " + std::string(rule.text) + " | ";
  return row + std::string(rule.source) + " |\n";
}

TEST(PreflightRules, TheDocumentHasExactlyTheirRows) {
  const auto text = read_text(fs::path(QUANTLANE_SOURCE_DIR) / "docs/preflight.md");
  ASSERT_TRUE(text.has_value());
  std::set<std::string> written;
  std::size_t at = text->find("## Rules");
  while ((at = text->find("\n| `", at)) != std::string::npos) {
    const std::size_t end = text->find('\n', ++at);
    written.insert(text->substr(at, end + 1 - at));
  }
  std::set<std::string> rows;
  for (const PreflightRule* rule : preflight_rules()) {
    rows.insert(row_of(*rule));
    EXPECT_EQ(written.count(row_of(*rule)), 1U) << "write into docs/preflight.md:\n"
                                                << row_of(*rule);
  }
  for (const std::string& row : written) EXPECT_EQ(rows.count(row), 1U) << "of no rule: " << row;
}

TEST(PreflightRules, EachNamesItsSourceAndEnginesThatExist) {
  for (const PreflightRule* rule : preflight_rules()) {
    EXPECT_FALSE(rule->source.empty()) << rule->id;
    EXPECT_FALSE(rule->text.empty()) << rule->id;
    const auto asks = [&](const EngineRow& row) { return concerns(*rule, target(row.name)); };
    EXPECT_TRUE(std::ranges::any_of(engines(), asks)) << rule->id;
    std::string_view rest = rule->engines == "*" ? "" : rule->engines;
    while (!rest.empty()) {
      const std::size_t end = std::min(rest.find(' '), rest.size());
      EXPECT_TRUE(find_engine(rest.substr(0, end)).has_value()) << rule->id;
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }
}

}  // namespace
}  // namespace quantlane
