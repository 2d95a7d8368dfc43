#include "calibrate/feedback_findings.h"

#include <gmock/gmock.h>

namespace quantlane {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

ErrorFeedback made_of(std::vector<float> sums) {
  ThreadPool pool(1);
  const auto feedback =
      make_error_feedback({.cols = 2, .tokens = 1, .sums = std::move(sums)}, 0, pool);
  EXPECT_TRUE(feedback.has_value());
  return feedback.value_or(ErrorFeedback());
}

TEST(FeedbackFindings, MomentsThatNeedMoreDampingAreNamedWithIt) {
  FeedbackFindings findings;
  findings.note("a.weight", made_of({1, 0.5F, 0.5F, 1}));
  EXPECT_THAT(findings.notices(), IsEmpty());
  // Eigenvalues 1 - 1.05 and 1 - 3: 0.1 and 10 times the mean of the diagonal make them positive.
  findings.note("b.weight", made_of({1, 1.05F, 1.05F, 1}));
  findings.note("c.weight", made_of({1, 3, 3, 1}));
  EXPECT_THAT(findings.notices(),
              ElementsAre(AllOf(HasSubstr("2 matrices"), HasSubstr("b.weight"),
                                HasSubstr("with 0.01 times"), HasSubstr("up to 10 times"))));
}

TEST(FeedbackFindings, SilentInputsAreCounted) {
  FeedbackFindings findings;
  findings.note("a.weight", made_of({1, 0.5F, 0.5F, 1}));
  EXPECT_FALSE(findings.idle_columns().any());
  findings.note("b.weight", made_of({1, 0, 0, 0}));
  findings.note("c.weight", made_of({0, 0, 0, 0}));
  EXPECT_EQ(findings.idle_columns().count, 3);
  EXPECT_EQ(findings.idle_columns().matrices, 2);
  EXPECT_EQ(findings.idle_columns().first, "b.weight");
}

TEST(FeedbackFindings, ExpertsWithFewTokensAreCounted) {
  FeedbackFindings findings;
  findings.note_expert(64, 64);
  EXPECT_THAT(findings.notices(), IsEmpty());
  findings.note_expert(63, 64);
  findings.note_expert(5, 64);
  EXPECT_THAT(findings.notices(),
              ElementsAre(AllOf(HasSubstr("2 of 3 experts saw fewer"), HasSubstr("the least: 5"))));
}

}  // namespace
}  // namespace quantlane
