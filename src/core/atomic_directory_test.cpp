#include "core/atomic_directory.h"

#include <atomic>
#include <fstream>
#include <thread>

#include <gtest/gtest.h>
#include <unistd.h>

#include "core/file.h"
#include "core/scratch_folder_for_test.h"

namespace quantlane {
namespace {

class AtomicDirectoryTest : public testing::Test {
 protected:
  const fixtures::ScratchFolder scratch_;
  const fs::path folder_ = scratch_.path();
  [[nodiscard]] int entries() const {
    return static_cast<int>(
        std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }
};

TEST_F(AtomicDirectoryTest, AFolderAppearsWholeAndReplacesTheOldOne) {
  fs::create_directories(folder_ / "d");
  ASSERT_TRUE(write_text(folder_ / "d" / "stale", "x"));
  {
    auto directory = AtomicDirectory::create(folder_ / "d");
    ASSERT_TRUE(directory);
    ASSERT_TRUE(write_text(directory->path() / "fresh", "y"));
    ASSERT_TRUE(directory->commit());
  }
  EXPECT_TRUE(fs::exists(folder_ / "d" / "fresh"));
  EXPECT_FALSE(fs::exists(folder_ / "d" / "stale"));
  EXPECT_EQ(entries(), 1);
}

TEST_F(AtomicDirectoryTest, AnUncommittedFolderSpelledWithASlashLeavesNothing) {
  ASSERT_TRUE(AtomicDirectory::create(folder_ / "d" / ""));
  EXPECT_EQ(entries(), 0);
}

TEST_F(AtomicDirectoryTest, AFolderThatIsReplacedIsThereAtAnyMoment) {
  fs::create_directories(folder_ / "d");
  std::atomic<bool> done = false;
  std::atomic<int> missing = 0;
  std::thread watcher([&] {
    while (!done) missing += fs::exists(folder_ / "d") ? 0 : 1;
  });
  for (int i = 0; i < 100; ++i) {
    auto directory = AtomicDirectory::create(folder_ / "d");
    ASSERT_TRUE(directory && directory->commit());
  }
  done = true;
  watcher.join();
  EXPECT_EQ(missing, 0);
  EXPECT_EQ(entries(), 1);
}

TEST_F(AtomicDirectoryTest, AFolderThatAppearsMeanwhileIsKeptAndSoIsTheWork) {
  auto made = AtomicDirectory::create(folder_ / "out", keep_others);
  ASSERT_TRUE(made);
  std::ofstream(made->path() / "work") << "x";
  fs::create_directories(folder_ / "out");
  std::ofstream(folder_ / "out" / "precious") << "x";
  const auto placed = made->commit();
  ASSERT_FALSE(placed);
  EXPECT_TRUE(fs::exists(folder_ / "out" / "precious"));
  const std::string finished = "out.finished-" + std::to_string(getpid());
  EXPECT_TRUE(fs::exists(folder_ / finished / "work"));
  EXPECT_NE(placed.error().message().find(finished), std::string::npos);
  auto again = AtomicDirectory::create(folder_ / "out", keep_others);
  ASSERT_TRUE(again);
  EXPECT_FALSE(again->commit());
  EXPECT_TRUE(fs::exists(folder_ / finished / "work")) << "nor is work that was kept earlier";
  EXPECT_TRUE(fs::exists(folder_ / (finished + "-2")));
}

}  // namespace
}  // namespace quantlane
