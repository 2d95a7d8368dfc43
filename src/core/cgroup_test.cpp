#include "core/cgroup.h"

#include <fstream>
#include <limits>
#include <string_view>

#include <gtest/gtest.h>
#include <unistd.h>

namespace quantlane {
namespace {

namespace fs = std::filesystem;

constexpr auto kNone = std::numeric_limits<std::uint64_t>::max();
constexpr std::string_view kUnlimited = "9223372036854771712\n";  // what version 1 says

class Cgroup : public testing::Test {
 protected:
  void SetUp() override {
    root_ =
        fs::temp_directory_path() / ("cgroup-" + std::to_string(getpid()) + "-" +
                                     testing::UnitTest::GetInstance()->current_test_info()->name());
    fs::create_directories(root_);
  }
  void TearDown() override { fs::remove_all(root_); }
  void write(const fs::path& path, std::string_view text) const {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }
  fs::path root_;
};

TEST_F(Cgroup, WithoutGroupsThereIsNoLimit) { EXPECT_EQ(cgroup_available(root_), kNone); }

TEST_F(Cgroup, VersionTwoLeavesItsLimitLessWhatIsNoCache) {
  write("proc/self/cgroup", "0::/job\n");
  write("sys/fs/cgroup/job/memory.max", "1000\n");
  write("sys/fs/cgroup/job/memory.current", "700\n");
  write("sys/fs/cgroup/job/memory.stat", "anon 300\nactive_file 150\ninactive_file 250\n");
  EXPECT_EQ(cgroup_available(root_), 700U);
}

TEST_F(Cgroup, TheLeastOfAllGroupsAboveCounts) {
  write("proc/self/cgroup", "0::/user.slice/job/inner\n");
  write("sys/fs/cgroup/user.slice/memory.max", "500\n");
  write("sys/fs/cgroup/user.slice/memory.current", "450\n");
  write("sys/fs/cgroup/user.slice/job/memory.max", "max\n");
  write("sys/fs/cgroup/user.slice/job/inner/memory.max", "300\n");
  write("sys/fs/cgroup/user.slice/job/inner/memory.current", "100\n");
  write("sys/fs/cgroup/other/memory.max", "1\n");
  EXPECT_EQ(cgroup_available(root_), 50U);
}

TEST_F(Cgroup, VersionOneIsReadFromTheGroupOfItsMemoryController) {
  write("proc/self/cgroup",
        "12:cpu,cpuacct:/wrong\n9:memory:/batch/job\n8:hugetlb:/wrong\n1:name=systemd:/wrong\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", kUnlimited);
  write("sys/fs/cgroup/memory/batch/memory.limit_in_bytes", "4000\n");
  write("sys/fs/cgroup/memory/batch/memory.usage_in_bytes", "1500\n");
  write("sys/fs/cgroup/memory/batch/memory.stat",
        "cache 1\ninactive_file 1\ntotal_inactive_file 300\ntotal_active_file 200\n");
  write("sys/fs/cgroup/memory/batch/job/memory.limit_in_bytes", kUnlimited);
  write("sys/fs/cgroup/memory/wrong/memory.limit_in_bytes", "7\n");
  EXPECT_EQ(cgroup_available(root_), 3000U);
}

TEST_F(Cgroup, VersionOneTellsOfLimitsAboveThatAreOutOfSight) {
  write("proc/self/cgroup", "4:memory:/kubepods/pod/container\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", kUnlimited);
  write("sys/fs/cgroup/memory/memory.usage_in_bytes", "100\n");
  write("sys/fs/cgroup/memory/memory.stat", "hierarchical_memory_limit 2000\n");
  EXPECT_EQ(cgroup_available(root_), 1900U);
}

TEST_F(Cgroup, AContainersMountShowsItsGroupAsTheTop) {
  write("proc/self/cgroup", "0::/docker/0123abcd\n");
  write("sys/fs/cgroup/memory.max", "800\n");
  write("sys/fs/cgroup/memory.current", "200\n");
  EXPECT_EQ(cgroup_available(root_), 600U);
}

TEST_F(Cgroup, AGroupThatUsesMoreThanItsLimitLeavesNothing) {
  write("proc/self/cgroup", "2:memory,devices:/job\nnonsense\n3:\n");
  write("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "100\n");
  write("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "150\n");
  EXPECT_EQ(cgroup_available(root_), 0U);
}

}  // namespace
}  // namespace quantlane
