// Pairs of artefacts for the tests of the tables of pre-flight rules.
#pragma once
#include <algorithm>
#include <set>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "recommend/preflight_rules.h"
#include "recommend/preflight_test_facts.h"

namespace quantlane::test_facts {

struct RuleCase {
  ArtefactFacts facts;
  EngineTarget at;
};
struct RuleTest {
  std::string id;
  RuleCase breaks;
  RuleCase holds;
};

inline bool fires(const std::string& id, const RuleCase& at) {
  const PreflightAnswer answer = preflight(at.facts, at.at);
  return std::ranges::any_of(answer.findings,
                             [&](const PreflightFinding& f) { return f.rule == id; });
}

// Each row of `table` has exactly one of `tests`, and what that says holds.
inline void expect_each_rule_tested(std::span<const PreflightRule> table,
                                    const std::vector<RuleTest>& tests) {
  std::multiset<std::string> tested;
  for (const RuleTest& test : tests) {
    EXPECT_TRUE(fires(test.id, test.breaks)) << test.id;
    EXPECT_FALSE(fires(test.id, test.holds)) << test.id;
    tested.insert(test.id);
  }
  std::multiset<std::string> rows;
  for (const PreflightRule& rule : table) rows.insert(std::string(rule.id));
  EXPECT_EQ(tested, rows);
}

}  // namespace quantlane::test_facts
