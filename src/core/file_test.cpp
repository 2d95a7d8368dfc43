#include "core/file.h"

#include <atomic>
#include <fstream>
#include <thread>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace quantlane {
namespace {

class FileTest : public testing::Test {
 protected:
  fs::path folder_ =
      fs::temp_directory_path() / ("quantlane-file-test-" + std::to_string(::getpid()));
  void SetUp() override { fs::create_directories(folder_); }
  void TearDown() override { fs::remove_all(folder_); }
  [[nodiscard]] int entries() const {
    return static_cast<int>(
        std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }
};

TEST_F(FileTest, AnUncommittedFileLeavesNothing) {
  {
    auto file = AtomicFile::create(folder_ / "a");
    ASSERT_TRUE(file);
    ASSERT_TRUE(file->append("half"));
  }
  EXPECT_EQ(entries(), 0);
}

TEST_F(FileTest, CommitReplacesTheWholeFile) {
  ASSERT_TRUE(write_text(folder_ / "a", "old and long"));
  ASSERT_TRUE(write_text(folder_ / "a", "new"));
  EXPECT_EQ(*read_text(folder_ / "a"), "new");
  EXPECT_EQ(entries(), 1);
}

TEST_F(FileTest, AFolderAppearsWholeAndReplacesTheOldOne) {
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

TEST_F(FileTest, AnUncommittedFolderSpelledWithASlashLeavesNothing) {
  ASSERT_TRUE(AtomicDirectory::create(folder_ / "d" / ""));
  EXPECT_EQ(entries(), 0);
}

TEST_F(FileTest, AFolderThatIsReplacedIsThereAtAnyMoment) {
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

TEST_F(FileTest, LeftoversOfEndedProcessesGoWhenTheirTargetIsWrittenAgain) {
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

TEST_F(FileTest, NamesThatOnlyBeginLikeThoseOfLeftoversStay) {
  for (const char* own : {"d.partial-999999999-11-28", "d.partial-999999999-backup",
                          "d.partial-999999999-", "d.partial-999999999"}) {
    fs::create_directories(folder_ / own / "inner");
    remove_leftovers(folder_ / "d");
    EXPECT_TRUE(fs::exists(folder_ / own / "inner")) << own;
  }
}

TEST_F(FileTest, AFolderThatAppearsMeanwhileIsKeptAndSoIsTheWork) {
  auto made = AtomicDirectory::create(folder_ / "out", true);
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
}

TEST_F(FileTest, LeftoversOfProcessesThatNobodyWaitedForGoToo) {
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

TEST_F(FileTest, CheckWritableCreatesNothingAndRefusesAFileInPlaceOfAFolder) {
  EXPECT_TRUE(check_writable(folder_ / "new" / "deeper" / "file"));
  EXPECT_EQ(entries(), 0);
  ASSERT_TRUE(write_text(folder_ / "file", "x"));
  const auto refused = check_writable(folder_ / "file" / "inside");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message().find("Not a directory"), std::string::npos);
}

TEST_F(FileTest, AFullDiskIsAnErrorThatNamesTheFile) {
  if (!fs::exists("/dev/full")) GTEST_SKIP() << "no /dev/full here";
  auto file = AtomicFile::create("/dev/shm/quantlane-full-test");
  if (!file) GTEST_SKIP() << "no /dev/shm here";
  // A write beyond the maximum offset fails as a full disk does, without filling one.
  const auto result =
      file->write_at(INT64_MAX - 10, std::as_bytes(std::span("0123456789abcdef", 16)));
  ASSERT_FALSE(result);
  EXPECT_NE(result.error().message().find("quantlane-full-test"), std::string::npos);
}

TEST_F(FileTest, MissingFilesAndFoldersAreToldApart) {
  EXPECT_EQ(MappedFile::open(folder_ / "none").error().code, ErrorCode::kNotFound);
  EXPECT_EQ(MappedFile::open(folder_).error().code, ErrorCode::kInvalidArgument);
}

TEST_F(FileTest, PipesAreRefusedWithoutWaitingForTheirWriter) {
  const fs::path pipe = folder_ / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const auto opened = MappedFile::open(pipe);
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().expected, "a regular file");
  EXPECT_EQ(opened.error().found, "a pipe");
  EXPECT_FALSE(opened.error().hint.empty());
}

TEST_F(FileTest, LinksThatLeadNowhereSayWhereTo) {
  fs::create_symlink("round", folder_ / "round");
  fs::create_symlink("blobs/gone", folder_ / "dangling");
  for (const auto& [name, target] : {std::pair{"round", "round"}, {"dangling", "blobs/gone"}}) {
    const auto opened = MappedFile::open(folder_ / name);
    ASSERT_FALSE(opened.has_value());
    EXPECT_NE(opened.error().expected.find("a file"), std::string::npos);
    EXPECT_NE(opened.error().found.find(std::string("a link to ") + target), std::string::npos);
    EXPECT_NE(opened.error().hint.find("download"), std::string::npos);
  }
}

TEST_F(FileTest, TextsThatAreTooLongSayWhatToDo) {
  ASSERT_TRUE(write_text(folder_ / "long", "123456789").has_value());
  EXPECT_TRUE(read_text(folder_ / "long", 9).has_value());
  const Error error = read_text(folder_ / "long", 8).error();
  EXPECT_EQ(error.code, ErrorCode::kResourceLimit);
  EXPECT_EQ(error.expected, "at most 8 bytes");
  EXPECT_EQ(error.found, "9 bytes");
  EXPECT_FALSE(error.hint.empty());
}

TEST(Utf8, FindsTheFirstBadByte) {
  EXPECT_TRUE(check_utf8("aä€😀", "t"));
  EXPECT_EQ(*check_utf8("ab\xFF", "t").error().offset, 2U);
  EXPECT_FALSE(check_utf8("\xC0\x80", "t"));          // overlong
  EXPECT_FALSE(check_utf8("\xED\xA0\x80", "t"));      // surrogate
  EXPECT_FALSE(check_utf8("\xF4\x90\x80\x80", "t"));  // beyond U+10FFFF
  EXPECT_FALSE(check_utf8("\xE2\x82", "t"));          // cut short
}

}  // namespace
}  // namespace quantlane
