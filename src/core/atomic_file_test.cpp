#include "core/atomic_file.h"

#include <gtest/gtest.h>

#include "core/file.h"
#include "core/scratch_folder_for_test.h"

namespace quantlane {
namespace {

class AtomicFileTest : public testing::Test {
 protected:
  const fixtures::ScratchFolder scratch_;
  const fs::path folder_ = scratch_.path();
  [[nodiscard]] int entries() const {
    return static_cast<int>(
        std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }
};

TEST_F(AtomicFileTest, AnUncommittedFileLeavesNothing) {
  {
    auto file = AtomicFile::create(folder_ / "a");
    ASSERT_TRUE(file);
    ASSERT_TRUE(file->append("half"));
  }
  EXPECT_EQ(entries(), 0);
}

TEST_F(AtomicFileTest, CommitReplacesTheWholeFile) {
  ASSERT_TRUE(write_text(folder_ / "a", "old and long"));
  ASSERT_TRUE(write_text(folder_ / "a", "new"));
  EXPECT_EQ(*read_text(folder_ / "a"), "new");
  EXPECT_EQ(entries(), 1);
}

TEST_F(AtomicFileTest, AFullDiskIsAnErrorThatNamesTheFile) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  auto file = AtomicFile::create("/dev/shm/quantlane-full-test");
  if (!file) GTEST_SKIP() << "no /dev/shm here";
  // A write beyond the maximum offset fails as a full disk does, without filling one.
  const auto result =
      file->write_at(INT64_MAX - 10, std::as_bytes(std::span("0123456789abcdef", 16)));
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().message().find("quantlane-full-test"), std::string::npos);
}

}  // namespace
}  // namespace quantlane
