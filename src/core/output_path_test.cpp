#include "core/output_path.h"

#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

namespace quantlane {
namespace {
namespace fs = std::filesystem;

// Oracle: the kernel, asked after the missing folders were made.
class OutputPath : public testing::Test {
 protected:
  fs::path folder_ = fs::canonical(fs::temp_directory_path()) /
                     ("quantlane-output-path-test-" + std::to_string(::getpid()));
  void SetUp() override {
    fs::create_directories(folder_ / "mine/deep");
    std::ofstream(folder_ / "mine/file") << "x";
    fs::create_directory_symlink("mine/deep", folder_ / "link");
    fs::create_symlink("gone", folder_ / "dangling");
  }
  void TearDown() override { fs::remove_all(folder_); }
};

TEST_F(OutputPath, IsWhereThePathLeadsOnceItsFoldersAreMade) {
  for (const char* spelled :
       {"new/../mine", "new/deeper/../../mine/file", "new/../link/../file", "new/../dangling",
        "new/../mine/./file", "link/../file", "mine/", "link/new/../../file", "new/deeper/..",
        "new/../mine/other", "new/..", "new/.", "link/.", "new/../link/.."}) {
    const fs::path path = folder_ / spelled;
    const fs::path place = place_of(path);
    const bool taken = is_taken(path);
    ASSERT_FALSE(fs::exists(folder_ / "new"));
    fs::create_directories(folder_ / "new/deeper");
    fs::create_directories(folder_ / "link/new");
    const fs::path name = path.filename();
    const bool whole = name.empty() || name == "." || name == "..";
    EXPECT_EQ(place, whole ? fs::canonical(path) : fs::canonical(path.parent_path()) / name)
        << spelled;
    fs::remove_all(folder_ / "new");
    fs::remove_all(folder_ / "link/new");
    EXPECT_EQ(taken, fs::exists(fs::symlink_status(place))) << spelled;
  }
}

TEST_F(OutputPath, RelativePathsAreTakenFromTheWorkingFolder) {
  const fs::path here = fs::canonical(fs::current_path());
  EXPECT_EQ(place_of("no-such-folder/../out"), here / "out");
  EXPECT_EQ(place_of("out/"), here / "out");
}

TEST_F(OutputPath, WhatIsTakenNeedsForce) {
  for (const char* taken : {"new/../mine", "new/../mine/file", "dangling", "link"}) {
    EXPECT_FALSE(check_vacant(folder_ / taken, false)) << taken;
    EXPECT_EQ(check_vacant(folder_ / taken, true).value_or(false), true) << taken;
  }
  EXPECT_EQ(check_vacant(folder_ / "new/out", false).value_or(true), false);
  EXPECT_FALSE(fs::exists(folder_ / "new"));
}

}  // namespace
}  // namespace quantlane
