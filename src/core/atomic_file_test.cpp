#include "core/atomic_file.h"

#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "core/file.h"
#include "core/scratch_folder_for_test.h"

namespace quantlane {
namespace {

using testing::HasSubstr;

class AtomicFileTest : public testing::Test {
 protected:
  const fixtures::ScratchFolder scratch_;
  const fs::path folder_ = scratch_.path();
  [[nodiscard]] int entries() const {
    return static_cast<int>(
        std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }
  // Where finished work lies that could not be put at `out`.
  [[nodiscard]] static fs::path kept(const fs::path& out) {
    return out.string() + ".finished-" + std::to_string(::getpid());
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

TEST_F(AtomicFileTest, AFileThatAppearsMeanwhileIsKeptAndSoIsTheWork) {
  using Maker = std::function<void(const fs::path&)>;
  const std::map<std::string, std::pair<fs::file_type, Maker>> makers = {
      {"file", {fs::file_type::regular, [](const fs::path& at) { std::ofstream(at) << "mine"; }}},
      {"folder", {fs::file_type::directory, [](const fs::path& at) { fs::create_directory(at); }}},
      {"link", {fs::file_type::symlink, [](const fs::path& at) { fs::create_symlink("x", at); }}}};
  for (const auto& [mine, entry] : makers) {
    const auto& [type, make] = entry;
    SCOPED_TRACE(mine);
    const fs::path out = folder_ / mine / "out";
    {
      auto made = AtomicFile::create(out, keep_others);
      ASSERT_TRUE(made);
      ASSERT_TRUE(made->append("work"));
      make(out);
      const auto placed = made->commit();
      ASSERT_FALSE(placed);
      EXPECT_EQ(placed.error().file, out.string());
      EXPECT_THAT(placed.error().hint, HasSubstr(kept(out).string()));
    }
    EXPECT_EQ(*read_text(kept(out)), "work");
    EXPECT_EQ(fs::symlink_status(out).type(), type);
  }
  EXPECT_EQ(*read_text(folder_ / "file/out"), "mine");
}

TEST_F(AtomicFileTest, FinishedWorkThatWasKeptEarlierIsKeptToo) {
  const fs::path out = folder_ / "out";
  ASSERT_TRUE(write_text(out, "mine"));
  EXPECT_FALSE(write_text(out, "first", keep_others));
  const auto second = write_text(out, "second", keep_others);
  ASSERT_FALSE(second);
  EXPECT_EQ(*read_text(out), "mine");
  EXPECT_EQ(*read_text(kept(out)), "first");
  EXPECT_EQ(*read_text(kept(out) += "-2"), "second");
  EXPECT_EQ(entries(), 3);
}

TEST_F(AtomicFileTest, AVacantPlaceIsTakenWithoutPermissionToReplace) {
  ASSERT_TRUE(write_text(folder_ / "out", "work", keep_others));
  EXPECT_EQ(*read_text(folder_ / "out"), "work");
  EXPECT_EQ(entries(), 1);
}

}  // namespace
}  // namespace quantlane
