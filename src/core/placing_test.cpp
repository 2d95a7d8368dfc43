#include "core/placing.h"

#include <fstream>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/file.h"
#include "core/scratch_folder_for_test.h"

namespace quantlane {
namespace {

class PlacingTest : public testing::Test {
 protected:
  const fixtures::ScratchFolder scratch_;
  const fs::path folder_ = scratch_.path();
};

TEST_F(PlacingTest, LeftoversOfEndedProcessesGoWhenTheirTargetIsWrittenAgain) {
  const pid_t child = fork();
  if (child == 0) _exit(0);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  const std::string dead = ".partial-" + std::to_string(child) + "-0";
  const std::string alive = ".partial-" + std::to_string(getppid()) + "-0";
  fs::create_directories(folder_ / ("a" + dead) / "inner");
  for (const std::string& name : {"a" + alive, "other" + dead, std::string("a.partial-7x")})
    std::ofstream(folder_ / name) << "x";
  ASSERT_TRUE(write_text(folder_ / "a", "new"));
  EXPECT_FALSE(fs::exists(folder_ / ("a" + dead)));
  EXPECT_TRUE(fs::exists(folder_ / ("a" + alive)));
  EXPECT_TRUE(fs::exists(folder_ / ("other" + dead)));
  EXPECT_TRUE(fs::exists(folder_ / "a.partial-7x"));
}

TEST_F(PlacingTest, NamesThatOnlyBeginLikeThoseOfLeftoversStay) {
  for (const char* own : {"d.partial-999999999-11-28", "d.partial-999999999-backup",
                          "d.partial-999999999-", "d.partial-999999999"}) {
    fs::create_directories(folder_ / own / "inner");
    remove_leftovers(folder_ / "d");
    EXPECT_TRUE(fs::exists(folder_ / own / "inner")) << own;
  }
}

TEST_F(PlacingTest, LeftoversOfProcessesThatNobodyWaitedForGoToo) {
  const pid_t child = fork();
  if (child == 0) _exit(0);
  siginfo_t ended{};
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOWAIT), 0);
  const fs::path leftover = folder_ / ("d.partial-" + std::to_string(child) + "-0");
  fs::create_directories(leftover / "inner");
  remove_leftovers(folder_ / "d");
  EXPECT_FALSE(fs::exists(leftover));
  waitpid(child, nullptr, 0);
}

}  // namespace
}  // namespace quantlane
