#include "core/placing.h"

#include <cerrno>
#include <cstddef>
#include <fstream>
#include <functional>
#include <vector>

#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
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

// What the file system can do.
enum class Renames : std::uint8_t { kRefuse, kReplaceBesideLinks, kReplace };

// From now on this process has a kernel that knows no flags of renames, or no hard links either.
void forget_calls(Renames renames) {
  if (renames == Renames::kRefuse) return;
  std::vector<sock_filter> filter = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
                                     BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_renameat2, 0, 1),
                                     BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL)};
  if (renames == Renames::kReplace) {
    for (const unsigned call : {SYS_link, SYS_linkat}) {
      filter.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1));
      filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM));
    }
  }
  filter.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) {
    _exit(77);
  }
}

// In a process of its own: what is forgotten stays so.
int ended_with(Renames renames, const std::function<bool()>& holds) {
  const pid_t child = fork();
  if (child == 0) {
    forget_calls(renames);
    _exit(holds() ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WEXITSTATUS(status);
}

TEST_F(PlacingTest, NothingIsReplacedOnAnyFileSystem) {
  for (const Renames renames :
       {Renames::kRefuse, Renames::kReplaceBesideLinks, Renames::kReplace}) {
    SCOPED_TRACE(static_cast<int>(renames));
    ASSERT_TRUE(write_text(folder_ / "file", "work"));
    ASSERT_TRUE(write_text(folder_ / "folder/file", "work"));
    ASSERT_TRUE(write_text(folder_ / "mine", "mine"));
    ASSERT_TRUE(write_text(folder_ / "mine-too/file", "mine"));
    const int status = ended_with(renames, [&] {
      bool good = true;
      for (const char* from : {"file", "folder"}) {
        for (const char* to : {"mine", "mine-too"}) {
          const auto moved = move_to_vacant(folder_ / from, folder_ / to);
          good = good && moved.has_value() && !*moved;
        }
        const auto moved = move_to_vacant(folder_ / from, folder_ / ("new-" + std::string(from)));
        good = good && moved.has_value() && *moved;
      }
      return good;
    });
    if (status == 77) GTEST_SKIP() << "no permission to leave calls out";
    EXPECT_EQ(status, 0);
    EXPECT_EQ(*read_text(folder_ / "mine"), "mine");
    EXPECT_EQ(*read_text(folder_ / "mine-too/file"), "mine");
    EXPECT_EQ(*read_text(folder_ / "new-file"), "work");
    EXPECT_EQ(*read_text(folder_ / "new-folder/file"), "work");
    EXPECT_FALSE(fs::exists(folder_ / "file"));
    EXPECT_FALSE(fs::exists(folder_ / "folder"));
    for (const auto& entry : fs::directory_iterator(folder_)) fs::remove_all(entry.path());
  }
}

}  // namespace
}  // namespace quantlane
