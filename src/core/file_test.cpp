#include "core/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
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

TEST_F(FileTest, CheckWritableCreatesNothingAndRefusesAFileInPlaceOfAFolder) {
  EXPECT_TRUE(check_writable(folder_ / "new" / "deeper" / "file"));
  EXPECT_EQ(entries(), 0);
  ASSERT_TRUE(write_text(folder_ / "file", "x"));
  const auto refused = check_writable(folder_ / "file" / "inside");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message().find("Not a directory"), std::string::npos);
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
