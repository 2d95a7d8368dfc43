#include "core/open_files.h"

#include <cerrno>
#include <string>
#include <vector>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/resource.h>

#include "core/atomic_file.h"
#include "core/descriptor.h"
#include "core/disk_room.h"
#include "core/file.h"
#include "core/scratch_folder_for_test.h"

namespace quantlane {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// This process has 40 files at most, and opens them all.
class NoMoreFiles {
 public:
  NoMoreFiles() {
    ::getrlimit(RLIMIT_NOFILE, &old_);
    rlimit small = old_;
    small.rlim_cur = 40;
    ::setrlimit(RLIMIT_NOFILE, &small);
    do {
      open_.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    } while (open_.back().valid());
  }
  ~NoMoreFiles() { ::setrlimit(RLIMIT_NOFILE, &old_); }
  NoMoreFiles(const NoMoreFiles&) = delete;
  NoMoreFiles& operator=(const NoMoreFiles&) = delete;

 private:
  std::vector<Descriptor> open_;
  rlimit old_{};
};

TEST(OpenFiles, TheLimitIsNamedWhereverItIsReached) {
  const fixtures::ScratchFolder folder;
  ASSERT_TRUE(write_text(folder.path() / "there", "text").has_value());
  const auto says_it = AllOf(
      HasSubstr("a limit of 40"), HasSubstr("(ulimit -n 40)"), HasSubstr(folder.path().string()),
      testing::ContainsRegex("try: .*ulimit -n"), Not(HasSubstr("permission")),
      Not(HasSubstr("the disk is sound")), Not(HasSubstr("another disk")));
  std::vector<std::string> said;
  {
    const NoMoreFiles limit;
    said.push_back(MappedFile::open(folder.path() / "there").error().message());
    said.push_back(AtomicFile::create(folder.path() / "new").error().message());
    said.push_back(ScratchFile::reserve(folder.path(), 10).error().message());
  }
  for (const std::string& text : said) EXPECT_THAT(text, says_it);
  EXPECT_THAT(said.back(), HasSubstr("--memory-limit"));
}

TEST(OpenFiles, TheMachineHasALimitToo) {
  const Error full = with_open_file_limit(io_error("opening"), ENFILE);
  EXPECT_THAT(full.message(), AllOf(HasSubstr("whole machine"), HasSubstr("fs.file-max")));
  const Error other = with_open_file_limit(io_error("opening").got("denied"), EACCES);
  EXPECT_EQ(other.message(), io_error("opening").got("denied").message());
}

}  // namespace
}  // namespace quantlane
